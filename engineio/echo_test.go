package engineio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestEcho(t *testing.T) {
	url := newTestServer(t, echoHandler, bothRevisions()).url
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, opts := range map[string]*engineio.DialOptions{
			"polling":   {Revision: rev, Transports: []engineio.Transport{engineio.Polling}},
			"websocket": {Revision: rev, Transports: []engineio.Transport{engineio.WebSocket}},
			"upgrade":   {Revision: rev},
		} {
			t.Run(fmt.Sprintf("revision %d %s", rev, name), func(t *testing.T) {
				ctx := testContext(t)
				s, err := engineio.Dial(ctx, url, opts)
				require.NoError(t, err)
				for _, m := range []engineio.Message{
					engineio.Text("hello"), engineio.Text(""), engineio.Text("é€😀"), engineio.Text("2probe"), engineio.Text("4b"), engineio.Text("bQUJD"),
					engineio.Binary([]byte{}), engineio.Binary([]byte{0, 1, 255, 0x1e}), engineio.Binary([]byte("4text")),
					engineio.Text(strings.Repeat("é0123456789", 40_000)), engineio.Binary(make([]byte, 500_000)),
				} {
					require.NoError(t, s.Write(ctx, m))
					got, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, m.Binary, got.Binary)
					require.Equal(t, string(m.Data), string(got.Data))
				}
				require.NoError(t, s.Close())
				_, err = s.Read(ctx)
				var closed *engineio.CloseError
				require.ErrorAs(t, err, &closed)
				require.Equal(t, engineio.ReasonForcedClose, closed.Reason)
			})
		}
	}
}

func TestTextThatPollingCannotCarryIsRefused(t *testing.T) {
	url := newTestServer(t, echoHandler, bothRevisions()).url
	for _, tt := range []struct {
		rev       engineio.Revision
		transport engineio.Transport
		want      error
	}{
		{engineio.Revision4, engineio.Polling, engineio.ErrSeparator},
		{engineio.Revision4, engineio.WebSocket, nil},
		{engineio.Revision3, engineio.Polling, nil},
	} {
		t.Run(fmt.Sprintf("revision %d %s", tt.rev, tt.transport), func(t *testing.T) {
			ctx := testContext(t)
			s, err := engineio.Dial(ctx, url, &engineio.DialOptions{Revision: tt.rev, Transports: []engineio.Transport{tt.transport}})
			require.NoError(t, err)
			require.ErrorIs(t, s.Write(ctx, engineio.Text("a\x1e1")), tt.want)
			require.ErrorIs(t, s.TryWrite(engineio.Prepare(engineio.Text("a\x1e1"))), tt.want)
			require.NoError(t, s.Write(ctx, engineio.Binary([]byte("a\x1e1"))))
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
	url := newTestServer(t, echoHandler, nil).url
	ctx := testContext(t)
	s, err := engineio.Dial(ctx, url, nil)
	require.NoError(t, err)
	require.ErrorIs(t, s.Write(ctx, engineio.Text("\xff")), engineio.ErrInvalidText)
	require.ErrorIs(t, s.TryWrite(engineio.Text("\xff")), engineio.ErrInvalidText)
	require.ErrorIs(t, s.Write(ctx, engineio.Prepare(engineio.Text("\xff"))), engineio.ErrInvalidText)
	require.ErrorIs(t, s.TryWrite(engineio.Text("x"), engineio.Prepare(engineio.Text("\xff"))), engineio.ErrInvalidText)
	require.NoError(t, s.Close())
}
