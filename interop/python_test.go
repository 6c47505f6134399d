package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

func startPython(t *testing.T) *Peer {
	t.Helper()
	p, err := RunPython(t.Context())
	interoptest.SkipMissing(t, err)
	return p.during(t, err)
}

// pythonCells are the exchanges with python-engineio. It has no event for an upgrade, and it reports no reason for the
// end of a session.
var pythonCells = []cell{
	{name: "text", run: echoes(hello)},
	{name: "unicode", run: echoes(unicode...)},
	{name: "binary", run: echoes(someBytes)},
	{name: "mixed", run: together(mixed...)},
	{name: "17 at once", run: together(atOnce(17)...)},
	{name: "300 in order", run: inOrder(300)},
}

// atOnce returns n messages.
func atOnce(n int) []message {
	all := make([]message, n)
	for i := range all {
		all[i] = message{data: fmt.Sprint("message ", i)}
	}
	return all
}

// TestPython runs python-engineio as client and as server. Its client ends the session when it gets a payload of more
// than 16 packets. Its server responds to one with status 200, drops the packets, and continues the session.
func TestPython(t *testing.T) {
	t.Parallel()
	python := startPython(t)
	ours := makeOurClient(engineio.Revision4)
	t.Cleanup(ours.stop)
	t.Run("with", func(t *testing.T) {
		for _, pair := range []struct {
			name   string
			client clientSide
			server serverSide
			modes  []mode
		}{
			{"client", peerClient{peer: python}, &ourServer{}, []mode{polling, websocket, upgrade}},
			{"server", ours, peerServer{peer: python}, []mode{polling, websocket, upgrade}},
		} {
			for _, m := range pair.modes {
				for _, c := range pythonCells {
					t.Run(fmt.Sprintf("%s %s %s", pair.name, m, c.name), func(t *testing.T) {
						t.Parallel()
						ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
						defer cancel()
						require.NoError(t, c.run(ctx, pair.client, pair.server, m))
					})
				}
			}
		}
	})
}
