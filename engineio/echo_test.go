package engineio

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo sends back whatever comes.
var echo = HandlerFunc(func(ctx context.Context, s *Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		if err := s.Write(ctx, m); err != nil {
			return
		}
	}
})

// serve starts a server on loopback and returns its URL.
func serve(t *testing.T, h Handler, opts *ServerOptions) (*Server, string) {
	t.Helper()
	srv := NewServer(h, opts)
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
	})
	return srv, web.URL
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func bothRevisions() *ServerOptions {
	return &ServerOptions{Revisions: []Revision{Revision3, Revision4}}
}

func TestEcho(t *testing.T) {
	_, url := serve(t, echo, bothRevisions())
	for _, rev := range []Revision{Revision3, Revision4} {
		for name, opts := range map[string]*DialOptions{
			"polling":   {Revision: rev, Transports: []Transport{Polling}},
			"websocket": {Revision: rev, Transports: []Transport{WebSocket}},
			"upgrade":   {Revision: rev},
		} {
			t.Run(fmt.Sprintf("revision %d %s", rev, name), func(t *testing.T) {
				ctx := testContext(t)
				s, err := Dial(ctx, url, opts)
				require.NoError(t, err)
				for _, m := range []Message{
					Text("hello"), Text(""), Text("é€😀"), Text("2probe"), Text("4b"), Text("bQUJD"),
					Binary([]byte{}), Binary([]byte{0, 1, 255, 0x1e}), Binary([]byte("4text")),
					Text(strings.Repeat("é0123456789", 40_000)), Binary(make([]byte, 500_000)),
				} {
					require.NoError(t, s.Write(ctx, m))
					got, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, m.Binary, got.Binary)
					require.Equal(t, string(m.Data), string(got.Data))
				}
				require.NoError(t, s.Close())
				_, err = s.Read(ctx)
				var closed *CloseError
				require.ErrorAs(t, err, &closed)
				require.Equal(t, ReasonForcedClose, closed.Reason)
			})
		}
	}
}
