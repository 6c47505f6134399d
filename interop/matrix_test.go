package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestOurServer runs each exchange between foreign clients and our server. Each must succeed, or fail as peerFaults
// says.
func TestOurServer(t *testing.T) {
	t.Parallel()
	testPairs(t, slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool { return p.server != ourEnd || p.webtransport }))
}

// TestOurDial runs each exchange between our client and foreign servers in the same way.
func TestOurDial(t *testing.T) {
	t.Parallel()
	testPairs(t, slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool { return p.client != ourEnd || p.webtransport }))
}

// TestBrowserWebTransport runs each exchange over WebTransport between the stock client in Chromium, on a page of another
// origin that knows the certificate by its hash, and our server.
func TestBrowserWebTransport(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "chromium")
	testPairs(t, webtransportPairs(func(p pair) bool { return p.client != ourEnd }))
}

// TestOurWebTransport runs each exchange over WebTransport between our client and our server.
func TestOurWebTransport(t *testing.T) {
	t.Parallel()
	testPairs(t, webtransportPairs(func(p pair) bool { return p.client == ourEnd && p.server == ourEnd }))
}

func webtransportPairs(are func(pair) bool) []pair {
	return slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool { return !p.webtransport || !are(p) })
}

// The matrix names missing programs. They are a failure if INTEROP=require.
func TestWithoutChromium(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	run := func() *Matrix {
		x, err := RunMatrix(t.Context(), []string{"in Chromium"}, func(string) {})
		require.NoError(t, err)
		return x
	}
	t.Setenv("INTEROP", "")
	x := run()
	require.Empty(t, x.Failures())
	require.Equal(t, "these programs are not on the PATH: chromium", x.Rows[0].NotRun)
	var printed strings.Builder
	require.NoError(t, x.WriteMarkdown(&printed))
	require.Contains(t, printed.String(), "| ? ? ")
	require.Contains(t, printed.String(), "engine.io-client 6.6.8 in Chromium was not run over WebTransport: these programs")
	require.NotContains(t, printed.String(), "✓")

	t.Setenv("INTEROP", "require")
	failures := run().Failures()
	require.Len(t, failures, len(new(runner).outcomes(webtransportPairs(func(p pair) bool { return p.client != ourEnd })[0])))
	require.Contains(t, failures[0], "interop: these programs are not on the PATH: chromium")
}

// testPairs runs all exchanges of the pairs, and then reports each of them as a test.
func testPairs(t *testing.T, pairs []pair) {
	t.Helper()
	interoptest.Need(t, "go", "node", "npm")
	for _, res := range new(runner).run(t.Context(), pairs) {
		require.Empty(t, res.notRun, "%s", res.pair)
		require.NotEmpty(t, res.outcomes, "%s", res.pair)
		t.Run(fmt.Sprintf("%s, revision %d", res.pair, res.pair.revision), func(t *testing.T) {
			for _, o := range res.outcomes {
				t.Run(fmt.Sprintf("%s/%s", o.mode, o.cell.name), func(t *testing.T) {
					if o.err != nil {
						t.Error(o.err)
					}
				})
			}
			if t.Failed() {
				t.Logf("the peers wrote to standard error:\n%s", res.stderr)
			}
		})
	}
}

// newOurClient returns a client that is stopped when t ends.
func newOurClient(t *testing.T, revision engineio.Revision) ourClient {
	t.Helper()
	c := makeOurClient(revision)
	t.Cleanup(c.stop)
	return c
}
