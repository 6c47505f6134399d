package webtransport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// upgraded waits until the transport of s is not polling. A goroutine must be in Read.
func upgraded(t *testing.T, s *engineio.Socket) engineio.Transport {
	t.Helper()
	for range 1000 {
		if transport := s.Transport(); transport != engineio.Polling {
			return transport
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.Fail(t, "no upgrade")
	return ""
}

func TestMessagesOverWebTransport(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		requests <- s.Request()
		echo(ctx, s)
	}), engineio.ServerOptions{})
	s := ts.mustDial(engineio.WebTransport)
	require.Equal(t, engineio.WebTransport, s.Transport())
	for _, m := range []engineio.Message{
		engineio.Text(""), engineio.Text("héllo😀"), engineio.Text("4\x1e2probe"), engineio.Binary([]byte("\x04\x00\xff")),
		engineio.Text(strings.Repeat("x", 124)), engineio.Text(strings.Repeat("x", 125)), engineio.Binary(make([]byte, 125)),
		engineio.Binary(make([]byte, 126)), engineio.Text(strings.Repeat("x", 1<<16-2)), engineio.Text(strings.Repeat("x", 1<<16-1)),
		engineio.Binary(make([]byte, 1<<16)), engineio.Text(strings.Repeat("0123456789", 50_000)),
		engineio.Prepare(engineio.Text("prepared")), engineio.Prepare(engineio.Binary([]byte("prepared"))),
	} {
		require.NoError(t, s.Write(t.Context(), m))
		got, err := s.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, m.Binary, got.Binary)
		require.Equal(t, string(m.Data), string(got.Data))
	}
	r := <-requests
	require.Equal(t, http.MethodConnect, r.Method)
	require.Equal(t, "/engine.io/", r.URL.Path)
	require.NotNil(t, r.TLS)
	require.NoError(t, s.Close())
}

// The frame of an empty binary message has the length 0, which the reference rejects too: it ends the session.
func TestAnEmptyBinaryMessageCannotCross(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	s := ts.mustDial(engineio.WebTransport)
	require.ErrorIs(t, s.Write(t.Context(), engineio.Binary(nil)), engineio.ErrEmptyBinary)
	require.ErrorIs(t, s.TryWrite(engineio.Binary(nil)), engineio.ErrEmptyBinary)
	require.NoError(t, s.Close())
}

// A session with such a message in its queue does not move to WebTransport, because the message would end the session.
// A moving session rejects such messages.
func TestAnEmptyBinaryMessageKeepsASessionOnPolling(t *testing.T) {
	t.Parallel()
	sockets := make(chan *engineio.Socket)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		sockets <- s
		_, _ = s.Read(ctx)
	}), engineio.ServerOptions{})
	poll := func(query string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.url+"/engine.io/?EIO=4&transport=polling"+query, nil)
		require.NoError(t, err)
		resp, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Contains(t, poll(""), "sid")
	s := <-sockets
	require.NoError(t, s.Write(t.Context(), engineio.Binary(nil)))
	r := ts.connect("/engine.io/")
	r.stream(move(s))
	r.awaitEnd()
	require.Equal(t, "b", poll("&sid="+s.ID()))

	r = ts.connect("/engine.io/")
	stream := r.stream(move(s) + frame("2probe"))
	answer := make([]byte, len(frame("3probe")))
	_, err := io.ReadFull(stream, answer)
	require.NoError(t, err)
	require.Equal(t, frame("3probe"), string(answer))
	require.ErrorIs(t, s.Write(t.Context(), engineio.Binary(nil)), engineio.ErrEmptyBinary)
	require.NoError(t, s.Write(t.Context(), engineio.Binary([]byte{7})))
	_, err = stream.Write([]byte(frame("5")))
	require.NoError(t, err)
	_, err = io.ReadFull(stream, answer[:2])
	require.NoError(t, err)
	require.Equal(t, "\x81\x07", string(answer[:2]))
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// The same applies to a client that writes such messages before and during its upgrade.
func TestAClientWithEmptyBinaryMessagesIsNotLost(t *testing.T) {
	t.Parallel()
	const last = "last"
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil || string(m.Data) == last && s.Write(ctx, m) != nil {
				return
			}
		}
	}), engineio.ServerOptions{})
	s := ts.mustDial(engineio.Polling, engineio.WebTransport)
	go func() {
		for i := 0; i < 2000 && s.Transport() == engineio.Polling; i++ {
			if s.Write(t.Context(), engineio.Binary(nil)) != nil {
				break
			}
		}
		_ = s.Write(t.Context(), engineio.Text(last))
	}()
	m, err := s.Read(s.Context())
	require.NoError(t, err)
	require.Equal(t, last, string(m.Data))
}

// The messages of either end arrive in order, before, during and after an upgrade.
func TestUpgradeToWebTransport(t *testing.T) {
	t.Parallel()
	const n = 300
	write := func(s *engineio.Socket, wg *sync.WaitGroup) {
		wg.Go(func() {
			for i := range n {
				if s.Write(s.Context(), engineio.Text(fmt.Sprint(i))) != nil {
					return
				}
				if i == n/2 {
					for s.Transport() == engineio.Polling && s.Context().Err() == nil {
						time.Sleep(time.Millisecond)
					}
				}
			}
		})
	}
	read := func(s *engineio.Socket) error {
		for i := range n {
			m, err := s.Read(s.Context())
			if err != nil {
				return err
			}
			if string(m.Data) != fmt.Sprint(i) {
				return fmt.Errorf("message %q, want %d", m.Data, i)
			}
		}
		return nil
	}
	results := make(chan error, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		var wg sync.WaitGroup
		write(s, &wg)
		results <- read(s)
		wg.Wait()
		_, _ = s.Read(ctx)
	}), engineio.ServerOptions{})
	s := ts.mustDial(engineio.Polling, engineio.WebTransport)
	var wg sync.WaitGroup
	write(s, &wg)
	require.NoError(t, read(s))
	require.NoError(t, <-results)
	wg.Wait()
	require.Equal(t, engineio.WebTransport, upgraded(t, s))
	require.NoError(t, s.Close())
}

// beginnings is an http.RoundTripper that records when a WebSocket handshake begins.
type beginnings struct{ webSocket chan time.Time }

func (b beginnings) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		b.webSocket <- time.Now()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestWebTransportHasAHeadStart(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	b := beginnings{make(chan time.Time, 1)}
	dialer := &Dialer{TLSConfig: ts.tls}
	began := make(chan time.Time, 1)
	s, err := engineio.Dial(t.Context(), ts.url, &engineio.DialOptions{
		HTTPClient: &http.Client{Transport: b},
		WebTransport: func(ctx context.Context, r *http.Request) (wtstream.Stream, *http.Response, error) {
			began <- time.Now()
			return dialer.Dial(ctx, r)
		},
	})
	require.NoError(t, err)
	s.Discard()
	if upgraded(t, s) == engineio.WebSocket { // on a slow machine
		require.GreaterOrEqual(t, (<-b.webSocket).Sub(<-began), 200*time.Millisecond)
	}
	require.NoError(t, s.Close())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// If a network drops UDP, an upgrade takes 200 ms longer.
func TestWhereUDPIsSwallowedTheWebSocketIsTaken(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	dialer := &Dialer{TLSConfig: ts.tls}
	s, err := engineio.Dial(t.Context(), ts.url, &engineio.DialOptions{
		WebTransport: func(ctx context.Context, r *http.Request) (wtstream.Stream, *http.Response, error) {
			r.URL.Host = silent.LocalAddr().String()
			return dialer.Dial(ctx, r)
		},
	})
	require.NoError(t, err)
	s.Discard()
	require.Equal(t, engineio.WebSocket, upgraded(t, s))
	require.NoError(t, s.Close())
}

// Close first sends all messages that were written before.
func TestCloseDeliversFirst(t *testing.T) {
	t.Parallel()
	const n = 300
	burst := func(s *engineio.Socket) error {
		for i := range n {
			if err := s.Write(s.Context(), engineio.Text(fmt.Sprint(i, strings.Repeat(" ", 1000)))); err != nil {
				return err
			}
		}
		return s.Close()
	}
	// count reads to the end. The end must be the peer's close, after n messages.
	count := func(s *engineio.Socket) error {
		for i := 0; ; i++ {
			_, err := s.Read(s.Context())
			if err == nil {
				continue
			}
			end, ok := errors.AsType[*engineio.CloseError](err)
			if !ok || end.Reason != engineio.ReasonTransportClose || i != n {
				return fmt.Errorf("after %d messages: %w", i, err)
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name           string
		client, server func(*engineio.Socket) error
	}{
		{"client", burst, count},
		{"server", count, burst},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.WebTransport}, {engineio.Polling, engineio.WebTransport}} {
			t.Run(fmt.Sprint(tt.name, " on ", transports), func(t *testing.T) {
				t.Parallel()
				results := make(chan error, 1)
				ts := newTestServer(t, engineio.HandlerFunc(func(_ context.Context, s *engineio.Socket) { results <- tt.server(s) }),
					engineio.ServerOptions{})
				s := ts.mustDial(transports...)
				require.NoError(t, tt.client(s))
				require.NoError(t, <-results)
			})
		}
	}
}

func TestHeartbeatOverWebTransport(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{PingInterval: 20 * time.Millisecond, PingTimeout: 5 * time.Second})
	s := ts.mustDial(engineio.WebTransport)
	time.AfterFunc(300*time.Millisecond, func() { _ = s.TryWrite(engineio.Text("still here")) })
	m, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "still here", string(m.Data))
	require.NoError(t, s.Close())
}

func TestAPeerThatAnswersNoPingIsGivenUp(t *testing.T) {
	t.Parallel()
	ends := make(chan error, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_, err := s.Read(ctx)
		ends <- err
	}), engineio.ServerOptions{PingInterval: 20 * time.Millisecond, PingTimeout: 50 * time.Millisecond})
	r := ts.connect("/engine.io/")
	r.stream("\x010")
	require.ErrorContains(t, <-ends, engineio.ReasonPingTimeout)
	r.awaitEnd()
}

func TestShutdownClosesInGoodOrder(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	s := ts.mustDial(engineio.WebTransport)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(t.Context())
		ended <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	require.NoError(t, ts.engine.Shutdown(ctx))
	require.ErrorContains(t, <-ended, engineio.ReasonTransportClose)
	_, err := ts.dial(engineio.DialOptions{Transports: []engineio.Transport{engineio.WebTransport}})
	require.Error(t, err, "a session with a server that is shut down")
}
