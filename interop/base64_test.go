package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// TestBase64Dial runs the exchanges between our client in base64 mode and foreign servers. It leaves out the server
// 1.4.1: to clients that ask for base64 it sends zeros in place of bytes (peerFaults), and its text dialect is unknown
// until it sends text.
func TestBase64Dial(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		revision engineio.Revision
		server   string
	}{
		{engineio.Revision3, "3.6.2"}, {engineio.Revision4, "6.6.13"},
	} {
		t.Run(fmt.Sprintf("revision %d to %s", tt.revision, tt.server), func(t *testing.T) {
			t.Parallel()
			server := startServer(t, tt.server, nil)
			client := base64Client{newOurClient(t, tt.revision)}
			eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
				if faultOf(pair{client: ourEnd, server: tt.server, revision: tt.revision}, m, c) != nil {
					return nil
				}
				return func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
					defer cancel()
					require.NoError(t, c.run(ctx, client, server, m))
				}
			})
		})
	}
}

// base64Client is ourClient in base64 mode.
type base64Client struct{ ourClient }

func (c base64Client) dial(ctx context.Context, url string, set setup) (party, error) {
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{Revision: c.revision, Transports: ourTransports(set.mode), Base64: true})
	if err != nil {
		return nil, err
	}
	p := newOurParty(s)
	c.sessions.Go(func() { p.serve(c.ctx, set, "client") })
	return p, nil
}
