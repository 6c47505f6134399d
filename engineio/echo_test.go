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

// echo sends back every message.
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

func TestTextThatPollingCannotCarryIsRefused(t *testing.T) {
	_, url := serve(t, echo, bothRevisions())
	for _, tt := range []struct {
		rev       Revision
		transport Transport
		want      error
	}{
		{Revision4, Polling, ErrSeparator},
		{Revision4, WebSocket, nil},
		{Revision3, Polling, nil},
	} {
		t.Run(fmt.Sprintf("revision %d %s", tt.rev, tt.transport), func(t *testing.T) {
			ctx := testContext(t)
			s, err := Dial(ctx, url, &DialOptions{Revision: tt.rev, Transports: []Transport{tt.transport}})
			require.NoError(t, err)
			require.ErrorIs(t, s.Write(ctx, Text("a\x1e1")), tt.want)
			require.ErrorIs(t, s.TryWrite(Prepare(Text("a\x1e1"))), tt.want)
			require.NoError(t, s.Write(ctx, Binary([]byte("a\x1e1"))))
			for range 2 {
				if tt.want == nil {
					m, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, "a\x1e1", string(m.Data))
				}
			}
			m, err := s.Read(ctx)
			require.NoError(t, err)
			require.True(t, m.Binary)
			require.NoError(t, s.Close())
		})
	}
}

func TestInvalidTextIsRefused(t *testing.T) {
	_, url := serve(t, echo, nil)
	ctx := testContext(t)
	s, err := Dial(ctx, url, nil)
	require.NoError(t, err)
	require.ErrorIs(t, s.Write(ctx, Text("\xff")), ErrInvalidText)
	require.ErrorIs(t, s.TryWrite(Text("\xff")), ErrInvalidText)
	require.ErrorIs(t, s.Write(ctx, Prepare(Text("\xff"))), ErrInvalidText)
	require.ErrorIs(t, s.TryWrite(Text("x"), Prepare(Text("\xff"))), ErrInvalidText)
	require.NoError(t, s.Close())
}
