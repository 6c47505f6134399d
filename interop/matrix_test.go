package interop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bigcompany/mesh/engineio"
)

// TestOurServer runs each exchange between foreign clients and our server: it succeeds, or fails as peerFaults says.
func TestOurServer(t *testing.T) {
	t.Parallel()
	testPairs(t, slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool { return p.server != ourEnd }))
}

// TestOurDial runs each exchange between our client and foreign servers in the same way.
func TestOurDial(t *testing.T) {
	t.Parallel()
	testPairs(t, slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool { return p.client != ourEnd }))
}

// testPairs runs all exchanges of the pairs, and then makes a test of each.
func testPairs(t *testing.T, pairs []pair) {
	t.Helper()
	Need(t, "go", "node", "npm")
	for _, res := range new(runner).run(t.Context(), pairs) {
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
