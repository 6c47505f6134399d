package interop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestReference runs each exchange between foreign peers. Each must succeed, or fail as peerFaults says. A normal run
// takes one pair of each revision, because the versions are pinned.
func TestReference(t *testing.T) {
	t.Parallel()
	pairs := references
	if !interoptest.Full() {
		pairs = slices.DeleteFunc(slices.Clone(references), func(p pair) bool {
			return p.client == Googollee || p.server == Googollee || p.client != "3.5.4" && p.client != "6.6.8"
		})
	}
	require.NotEmpty(t, pairs)
	testPairs(t, pairs)
}

func TestEveryFaultIsOfAReference(t *testing.T) {
	t.Parallel()
	shown := make(map[*fault]bool)
	for _, p := range references {
		for _, o := range new(runner).outcomes(p) {
			shown[o.fault], shown[findFault(p, o.mode, o.cell, true)] = true, true
		}
	}
	for i := range peerFaults {
		f := &peerFaults[i]
		require.True(t, shown[f], "no reference shows the fault of client %q and server %q: %s", f.client, f.server, f.reason)
		require.NotEmpty(t, f.symptoms, f.reason)
		for _, name := range f.cells {
			require.True(t, slices.ContainsFunc(cells, func(c cell) bool { return c.name == name }), "no such exchange: %s", name)
		}
	}
}

// TestEveryExcusedExchangeIsRunByAReference checks that two foreign peers fail in the same exchange, and not only in a
// similar one.
func TestEveryExcusedExchangeIsRunByAReference(t *testing.T) {
	t.Parallel()
	for _, p := range ourPairs {
		for _, o := range new(runner).outcomes(p) {
			require.True(t, o.fault == nil || slices.ContainsFunc(references, func(r pair) bool {
				return faultOf(r, o.mode, o.cell) == o.fault
			}), "%s, %s, %s", p, o.mode, o.cell.name)
		}
	}
}

func startClient(t testing.TB, version string) clientSide {
	t.Helper()
	return peerClient{peer: startEngine(t, EngineClient, version)}
}

func startServer(t testing.TB, version string, options map[string]any) serverSide {
	t.Helper()
	return peerServer{startEngine(t, EngineServer, version), options}
}

func startEngine(t testing.TB, script, version string) *Peer {
	t.Helper()
	interoptest.Need(t, "go", "node", "npm")
	p, err := runEngine(t.Context(), script, version)
	return p.during(t, err)
}

// eachCell calls pick for each exchange in each of the modes, and runs the returned test in parallel, unless it is nil.
// It leaves out idle exchanges, which only the matrix runs.
func eachCell(t *testing.T, modes []mode, pick func(m mode, c cell) func(*testing.T)) {
	t.Helper()
	for _, m := range modes {
		for _, c := range cells {
			if c.idle || !c.in(m) {
				continue
			}
			test := pick(m, c)
			if test == nil {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", m, c.name), func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	}
}
