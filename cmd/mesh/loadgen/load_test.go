package loadgen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// serve starts a server and returns a target for each revision. The package under test does not know the server; the
// program bench tests it with other servers.
func serve(t *testing.T, h engineio.HandlerFunc, opts engineio.ServerOptions) (rev3, rev4 Target) {
	t.Helper()
	opts.Revisions = []engineio.Revision{engineio.Revision3, engineio.Revision4}
	srv := engineio.NewServer(h, &opts)
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
	})
	host := strings.TrimPrefix(web.URL, "http://")
	return Target{Host: host, Path: "/engine.io/", Revision: 3}, Target{Host: host, Path: "/engine.io/", Revision: 4}
}

func sendBack(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil || s.Write(ctx, m) != nil {
			return
		}
	}
}

// relay sends each message to all other sessions for which keep returns true.
func relay(keep func(n int) bool) engineio.HandlerFunc {
	var mu sync.Mutex
	var all []*engineio.Socket
	return func(ctx context.Context, s *engineio.Socket) {
		mu.Lock()
		all = append(all, s)
		mu.Unlock()
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			for i, o := range all {
				if o != s && keep(i) {
					_ = o.TryWrite(m)
				}
			}
			mu.Unlock()
		}
	}
}

func everybody(int) bool { return true }

func message(n int) string { return fmt.Sprintf("message %08d", n) }

// longer calls enough with longer and longer durations, until one is long enough for a result on this machine.
func longer(t *testing.T, enough func(d time.Duration) bool) {
	t.Helper()
	for d := 50 * time.Millisecond; !enough(d); d *= 2 {
		require.Less(t, d, time.Minute, "no measurement took place")
	}
}

func TestEcho(t *testing.T) {
	var sentBack atomic.Int64
	rev3, rev4 := serve(t, func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			sentBack.Add(1)
			if s.Write(ctx, m) != nil {
				return
			}
		}
	}, engineio.ServerOptions{})
	for _, target := range []Target{rev3, rev4} {
		c, err := Open(t.Context(), target, Options{Connections: 5})
		require.NoError(t, err)
		defer c.Close()
		require.Equal(t, 5, c.Len())
		for _, window := range []int{1, 16} {
			longer(t, func(d time.Duration) bool {
				sentBack.Store(0)
				r, err := c.Echo(t.Context(), EchoOptions{Window: window, Size: 100, Duration: d})
				require.NoError(t, err)
				require.EqualValues(t, sentBack.Load(), r.Count+5*window, "the last answers of each come too late to count")
				require.Equal(t, d, r.Elapsed)
				require.LessOrEqual(t, r.P50, r.P99)
				require.LessOrEqual(t, r.P99, d)
				require.Equal(t, r.Count > 0, r.P50 > 0)
				return r.Count > 5*window
			})
		}
	}
}

func TestEchoNoticesAWrongAnswer(t *testing.T) {
	_, target := serve(t, func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil || s.Write(ctx, engineio.Text(string(m.Data)+"!")) != nil {
				return
			}
		}
	}, engineio.ServerOptions{})
	c, err := Open(t.Context(), target, Options{Connections: 2})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Echo(t.Context(), EchoOptions{Size: 10, Duration: time.Minute})
	require.ErrorContains(t, err, "1 messages with 11 bytes came back; 1 of 10 bytes each were in flight")
}

func TestEchoPolling(t *testing.T) {
	rev3, rev4 := serve(t, sendBack, engineio.ServerOptions{PingInterval: 30 * time.Millisecond, PingTimeout: 5 * time.Second})
	for _, target := range []Target{rev3, rev4} {
		longer(t, func(d time.Duration) bool {
			r, err := EchoPolling(t.Context(), target, EchoOptions{Connections: 3, Size: 100, Duration: d})
			require.NoError(t, err)
			require.Equal(t, r.Count > 0, r.P99 > 0)
			return r.Count > 6
		})
	}
}

func TestFanOut(t *testing.T) {
	rev3, rev4 := serve(t, relay(everybody), engineio.ServerOptions{})
	for _, target := range []Target{rev3, rev4} {
		c, err := Open(t.Context(), target, Options{Connections: 21})
		require.NoError(t, err)
		r, err := c.FanOut(t.Context(), FanOutOptions{Message: message, Receivers: 20, Deliveries: 50_001, Ahead: 100})
		require.NoError(t, err)
		require.Equal(t, 50_020, r.Count, "whole messages")
		require.Positive(t, r.Elapsed)
		c.Close()
	}
}

func TestFanOutOfASlowServerIsMeasuredByWhatItDelivered(t *testing.T) {
	_, target := serve(t, relay(func(n int) bool {
		time.Sleep(time.Millisecond)
		return true
	}), engineio.ServerOptions{})
	c, err := Open(t.Context(), target, Options{Connections: 3})
	require.NoError(t, err)
	defer c.Close()
	const timeout = 100 * time.Millisecond
	start := time.Now()
	r, err := c.FanOut(t.Context(), FanOutOptions{Message: message, Receivers: 2, Deliveries: 1e6, Timeout: timeout})
	took := time.Since(start)
	require.NoError(t, err)
	require.LessOrEqual(t, r.Count, int(took/time.Millisecond), "the server takes a millisecond for each")
	require.GreaterOrEqual(t, r.Elapsed, timeout)
	require.LessOrEqual(t, r.Elapsed, took)
}

func TestFanOutNoticesWhoGetsNothingAndWhoShouldNot(t *testing.T) {
	_, target := serve(t, relay(everybody), engineio.ServerOptions{})
	c, err := Open(t.Context(), target, Options{Connections: 4})
	require.NoError(t, err)
	defer c.Close()
	// The load makes many round trips, so that the stray session's goroutine runs in the meantime, even on a busy
	// machine.
	_, err = c.FanOut(t.Context(), FanOutOptions{Message: message, Receivers: 2, Deliveries: 20_000, Ahead: 10})
	require.ErrorIs(t, err, errStray)
	_, err = c.FanOut(t.Context(), FanOutOptions{Message: message, Receivers: 4, Deliveries: 1000})
	require.ErrorContains(t, err, "4 sessions are too few for a publisher and 4 receivers")

	_, deaf := serve(t, relay(func(n int) bool { return n != 2 }), engineio.ServerOptions{})
	d, err := Open(t.Context(), deaf, Options{Connections: 4, Parallel: 1})
	require.NoError(t, err)
	defer d.Close()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, context.Canceled)
	defer cancel()
	_, err = d.FanOut(ctx, FanOutOptions{Message: message, Receivers: 3, Deliveries: 1000})
	require.ErrorIs(t, err, context.Canceled, "it waits for the third")
}

func TestHeartbeatsAreAnsweredAndSent(t *testing.T) {
	rev3, rev4 := serve(t, sendBack, engineio.ServerOptions{PingInterval: 50 * time.Millisecond, PingTimeout: 2 * time.Second})
	for _, target := range []Target{rev3, rev4} {
		c, err := Open(t.Context(), target, Options{Connections: 10})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return c.Pings() >= 30 }, 10*time.Second, time.Millisecond)
		require.NoError(t, c.Err())
		c.Close()
	}
}

func TestFirstMessagesAreSentFirst(t *testing.T) {
	got := make(chan string, 10)
	_, target := serve(t, func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			got <- string(m.Data)
		}
	}, engineio.ServerOptions{})
	c, err := Open(t.Context(), target, Options{Connections: 2, Parallel: 1, First: func(i int) []string {
		return []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
	}})
	require.NoError(t, err)
	defer c.Close()
	var all []string
	for range 4 {
		all = append(all, <-got)
	}
	require.Subset(t, all, []string{"a0", "b0", "a1", "b1"})
}

func TestConnect(t *testing.T) {
	rev3, rev4 := serve(t, sendBack, engineio.ServerOptions{})
	for _, target := range []Target{rev3, rev4} {
		for _, how := range []string{ByWebSocket, ByPolling, ByUpgrade} {
			r, err := Connect(t.Context(), target, ConnectOptions{How: how, Parallel: 2, Duration: time.Minute, Most: 20})
			require.NoError(t, err)
			require.Equal(t, 20, r.Count)
			require.Positive(t, r.P50)
			const duration = 20 * time.Millisecond
			start := time.Now()
			r, err = Connect(t.Context(), target, ConnectOptions{How: how, Parallel: 2, Duration: duration})
			require.NoError(t, err)
			require.GreaterOrEqual(t, r.Count, 2)
			require.LessOrEqual(t, duration, r.Elapsed)
			require.LessOrEqual(t, r.Elapsed, time.Since(start))
			r, err = Connect(t.Context(), target, ConnectOptions{How: how, Parallel: 2})
			require.NoError(t, err)
			require.Equal(t, 2, r.Count, "each at least one")
		}
	}
	_, err := Connect(t.Context(), rev4, ConnectOptions{How: "foot"})
	require.ErrorContains(t, err, `no such way to connect: "foot"`)
}

func TestServersWithTLS(t *testing.T) {
	srv := engineio.NewServer(relay(everybody), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	web := httptest.NewUnstartedServer(srv)
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // the first client trusts no certificate, which the server would log
	web.StartTLS()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
	})
	target := Target{Host: strings.TrimPrefix(web.URL, "https://"), Path: "/engine.io/", Revision: 3, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	_, err := Open(t.Context(), target, Options{Connections: 1})
	require.ErrorContains(t, err, "certificate signed by unknown authority")

	target.TLS.RootCAs = x509.NewCertPool()
	target.TLS.RootCAs.AddCert(web.Certificate())
	c, err := Open(t.Context(), target, Options{Connections: 20})
	require.NoError(t, err)
	defer c.Close()
	r, err := c.FanOut(t.Context(), FanOutOptions{Message: message, Receivers: 19, Deliveries: 1900, Ahead: 100})
	require.NoError(t, err)
	require.Equal(t, 1900, r.Count)
}

func TestWhatTheServerDoesWrongIsSaid(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "full", http.StatusServiceUnavailable)
	}))
	defer refusing.Close()
	target := Target{Host: strings.TrimPrefix(refusing.URL, "http://"), Path: "/engine.io/", Revision: 4}
	_, err := Open(t.Context(), target, Options{Connections: 3})
	require.ErrorContains(t, err, "of 3: WebSocket handshake: 503 Service Unavailable: full")
	_, err = EchoPolling(t.Context(), target, EchoOptions{Connections: 1, Duration: time.Second})
	require.ErrorContains(t, err, "connection 1 of 1: handshake: GET /engine.io/?EIO=4&transport=polling: 503 Service Unavailable")
	_, err = Connect(t.Context(), target, ConnectOptions{How: ByUpgrade, Duration: time.Second})
	require.ErrorContains(t, err, "connect by upgrade: handshake")

	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	target.Host = strings.TrimPrefix(endless.URL, "http://")
	_, err = EchoPolling(t.Context(), target, EchoOptions{Connections: 1, Duration: time.Second})
	require.ErrorContains(t, err, "the server sent an endless response")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = Open(t.Context(), Target{Host: l.Addr().String(), Path: "/", Revision: 4}, Options{Connections: 1})
	require.ErrorContains(t, err, "connection refused")

	_, leaving := serve(t, func(ctx context.Context, s *engineio.Socket) { _, _ = s.Read(ctx) }, engineio.ServerOptions{})
	c, err := Open(t.Context(), leaving, Options{Connections: 1})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Echo(t.Context(), EchoOptions{Size: 1, Duration: time.Minute})
	require.ErrorContains(t, err, "connection 1: the server closed the WebSocket")
}

func TestConnectionsAreBoundedByOpenFiles(t *testing.T) {
	limit, err := RaiseFileLimit()
	require.NoError(t, err)
	_, err = Open(t.Context(), Target{Host: "127.0.0.1:1", Path: "/", Revision: 4}, Options{Connections: limit})
	require.ErrorContains(t, err, "start two processes")
}
