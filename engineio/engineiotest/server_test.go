package engineiotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/engineiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var both = &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}}

// everyWay runs f in a bubble for each revision and each set of transports.
func everyWay(t *testing.T, f func(t *testing.T, opts *engineio.DialOptions)) {
	for _, revision := range both.Revisions {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}, {engineio.Polling, engineio.WebSocket}} {
			t.Run(fmt.Sprintf("revision %d %s", revision, transports), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f(t, &engineio.DialOptions{Revision: revision, Transports: transports})
				})
			})
		}
	}
}

func TestSessionsInABubble(t *testing.T) {
	everyWay(t, func(t *testing.T, opts *engineio.DialOptions) {
		srv := engineiotest.NewServer(greet, both)
		defer srv.Close()
		start := time.Now()
		s, err := srv.Dial(t.Context(), opts)
		require.NoError(t, err)
		for i := range 100 {
			require.NoError(t, s.Write(t.Context(), engineio.Text(fmt.Sprint(i))))
			m, err := s.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("hello ", i), string(m.Data))
		}
		require.Zero(t, time.Since(start), "virtual time passed")
		s.Discard()
		time.Sleep(time.Hour)
		require.NoError(t, s.Context().Err(), "an hour of heartbeats")
		require.Len(t, srv.Sockets(), 1)
		require.NoError(t, s.Close())
		time.Sleep(time.Second) // by polling, the server waits a moment for the poll that the close packet may have overtaken
		synctest.Wait()
		require.Empty(t, srv.Sockets())
	})
}

// The other end notices the end of a session at the right time.
func TestCloseOfTheServerEndsTheClient(t *testing.T) {
	everyWay(t, func(t *testing.T, opts *engineio.DialOptions) {
		srv := engineiotest.NewServer(greet, both)
		s, err := srv.Dial(t.Context(), opts)
		require.NoError(t, err)
		s.Discard()
		synctest.Wait()
		require.NoError(t, srv.Close())
		require.NoError(t, srv.Close(), "again")
		<-s.Context().Done()
		require.NoError(t, s.Close())
		_, err = srv.Dial(t.Context(), opts)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestPipe(t *testing.T) {
	everyWay(t, func(t *testing.T, opts *engineio.DialOptions) {
		client, server := engineiotest.Pipe(t, opts)
		large := engineio.Binary([]byte(strings.Repeat("x", 500_000)))
		for range 3 {
			require.NoError(t, client.Write(t.Context(), large))
			m, err := server.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, large, m)
			require.NoError(t, server.Write(t.Context(), engineio.Text("got it")))
			m, err = client.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, engineio.Text("got it"), m)
		}
		server.Discard()
		client.Discard()
		synctest.Wait()
		require.Equal(t, opts.Transports[len(opts.Transports)-1], server.Transport())
		require.NoError(t, server.Close())
		<-client.Context().Done()
		var closed *engineio.CloseError
		require.ErrorAs(t, context.Cause(client.Context()), &closed)
		require.Equal(t, engineio.ReasonTransportClose, closed.Reason)
	})
}

func TestPipeEndsWithItsTest(t *testing.T) {
	var client, server *engineio.Socket
	t.Run("outside of a bubble", func(t *testing.T) {
		client, server = engineiotest.Pipe(t, nil)
		require.Equal(t, engineio.WebSocket, client.Transport())
		require.NoError(t, client.Context().Err())
	})
	require.Error(t, client.Context().Err())
	require.Error(t, server.Context().Err())
}

// handshake opens a session by polling, and sends no other request for it.
func handshake(t *testing.T, srv *engineiotest.Server) (sid string) {
	t.Helper()
	resp, err := srv.Client().Get(srv.URL + "?EIO=4&transport=polling")
	require.NoError(t, err)
	open, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, rest, _ := strings.Cut(string(open), `"sid":"`)
	sid, _, _ = strings.Cut(rest, `"`)
	return sid
}

// The session of a silent peer ends after its timeout, and not earlier.
func TestSilenceTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := engineiotest.NewServer(greet, nil)
		defer srv.Close()
		start := time.Now()
		sid := handshake(t, srv)
		require.Equal(t, sid, srv.Sockets()[0].ID())
		<-srv.Sockets()[0].Context().Done()
		require.Equal(t, engineio.DefaultPingInterval+engineio.DefaultPingTimeout, time.Since(start))
	})
}

func TestPathAndClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for path, want := range map[string]string{"": "/engine.io/", "/rt/v1": "/rt/v1/", "/": "/"} {
			srv := engineiotest.NewServer(greet, &engineio.ServerOptions{Path: path, Cookie: &http.Cookie{}})
			require.Equal(t, "http://engineio.test"+want, srv.URL)
			s, err := srv.Dial(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			resp, err := srv.Client().Get(srv.URL + "?EIO=4&transport=tobi")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, `{"code":0,"message":"Transport unknown"}`, string(body))
			require.NoError(t, srv.Close())
		}
	})
}

// net/http waits before it closes a connection whose body it did not read. Close waits for that too, or the bubble
// would not end.
func TestCloseWaitsForConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := engineiotest.NewServer(greet, &engineio.ServerOptions{MaxPayload: 10})
		resp, err := srv.Client().Post(srv.URL+"?EIO=4&transport=polling&sid="+handshake(t, srv), "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
		if err == nil { // net/http may notice the end of the connection before the response
			require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
		}
		require.NoError(t, srv.Close())
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := engineiotest.NewListener()
		require.Equal(t, "pipe", l.Addr().Network())
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, _ := l.Accept()
			accepted <- conn
		}()
		near, err := l.DialContext(t.Context(), "tcp", "anywhere:80")
		require.NoError(t, err)
		far := <-accepted
		go func() { _, _ = near.Write([]byte("x")) }()
		b := make([]byte, 1)
		_, err = io.ReadFull(far, b)
		require.NoError(t, err)
		require.NoError(t, near.Close())
		_, err = far.Read(b)
		require.ErrorIs(t, err, io.EOF)

		ended := errors.New("ended")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ended)
		_, err = l.DialContext(ctx, "tcp", "")
		require.ErrorIs(t, err, ended, "nobody accepts")

		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = l.DialContext(t.Context(), "tcp", "")
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
