package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reference is a pair of peers of which neither is ours.
type reference struct {
	client, server string
	options        map[string]any // of the server
}

// references has each peer with its own kind first. The others show what remains for a peer whose own kind does not
// use a feature, or how far peers of different generations get.
var references = []reference{
	{client: "1.4.1", server: "1.4.1"},
	{client: "3.5.4", server: "3.6.2"},
	{client: "6.6.8", server: "6.6.12"},
	{client: Googollee, server: Googollee},
	{client: "3.5.4", server: Googollee},
	{client: Googollee, server: "3.6.2"},
	{client: Googollee, server: "1.4.1"},
	{client: "3.5.4", server: "6.6.12", options: map[string]any{"allowEIO3": true}},
	{client: "1.4.1", server: "6.6.12", options: map[string]any{"allowEIO3": true}},
}

// faultOf returns the fault that an exchange is to show, or nil. An end that is ours has a name that no fault has.
func faultOf(client, server string, m mode, cell string) *Fault {
	for i, f := range PeerFaults {
		if (f.Client == "" || f.Client == client) && f.Except != client && (f.Server == "" || f.Server == server) &&
			(f.Mode == "" || f.Mode == string(m)) && (f.Cells == nil || slices.Contains(f.Cells, cell)) {
			return &PeerFaults[i]
		}
	}
	return nil
}

// silence is how long a reference is given for what it never does.
const silence = 2 * time.Second

// TestReference runs each exchange between peers that are not ours: it succeeds, or fails as PeerFaults says.
func TestReference(t *testing.T) {
	t.Parallel()
	for _, r := range references {
		t.Run(fmt.Sprintf("%s to %s", r.client, r.server), func(t *testing.T) {
			t.Parallel()
			client := startClient(t, r.client)
			server := startServer(t, r.server, r.options)
			eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
				fault := faultOf(r.client, r.server, m, c.name)
				switch {
				case fault == nil:
					return func(t *testing.T) {
						ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
						defer cancel()
						require.NoError(t, c.run(ctx, client, server, m))
					}
				case fault.Unsteady:
					return nil
				default:
					return func(t *testing.T) {
						requireFault(t, *fault, func(ctx context.Context) error { return c.run(ctx, client, server, m) })
					}
				}
			})
		})
	}
}

func requireFault(t *testing.T, f Fault, run func(context.Context) error) {
	t.Helper()
	timeout := AwaitTimeout
	if f.Silent {
		timeout = silence
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := run(ctx)
	require.ErrorContains(t, err, f.Symptom, "listed as a fault: %s", f.Reason)
	if f.Silent {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

// eachCell asks pick for the test of each exchange in each of the modes, and runs it in parallel unless it is nil.
func eachCell(t *testing.T, modes []mode, pick func(m mode, c cell) func(*testing.T)) {
	t.Helper()
	for _, m := range modes {
		for _, c := range cells {
			if c.later && !m.upgrades() {
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

func TestEveryFaultIsOfAReference(t *testing.T) {
	t.Parallel()
	shown := make(map[*Fault]bool)
	for _, r := range references {
		for _, m := range modes {
			for _, c := range cells {
				if f := faultOf(r.client, r.server, m, c.name); f != nil {
					shown[f] = true
				}
			}
		}
	}
	for i := range PeerFaults {
		f := &PeerFaults[i]
		require.True(t, shown[f], "no reference shows the fault of client %q and server %q: %s", f.Client, f.Server, f.Reason)
		require.True(t, f.Unsteady || f.Symptom != "", "a fault without a symptom: %s", f.Reason)
		for _, name := range f.Cells {
			require.True(t, slices.ContainsFunc(cells, func(c cell) bool { return c.name == name }), "no such exchange: %s", name)
		}
	}
}
