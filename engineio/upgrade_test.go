package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestUpgradeTakesNoTimeAndKeepsOrder(t *testing.T) {
	const n = 500
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		both := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if s.Write(context.Background(), engineio.Text(fmt.Sprint("s", i))) != nil {
						return
					}
				}
			})
			for i := range n {
				m, err := s.Read(ctx)
				if err != nil || string(m.Data) != fmt.Sprint("c", i) {
					s.Abort(fmt.Errorf("message %d is %q: %w", i, m.Data, err))
					break
				}
			}
			wg.Wait()
			_, _ = s.Read(ctx) // until the client closes
		})
		inBubble(t, both, bothRevisions(), func(t *testing.T, ts *testServer) {
			start := time.Now()
			s := ts.connect(&engineio.DialOptions{Revision: rev})
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if err := s.Write(context.Background(), engineio.Text(fmt.Sprint("c", i))); err != nil {
						t.Errorf("write %d: %v", i, err)
						return
					}
				}
			})
			for i := range n {
				m, err := s.Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("s", i), string(m.Data))
			}
			wg.Wait()
			require.NoError(t, s.Flush(t.Context()))
			go func() { _, _ = s.Read(t.Context()) }()
			synctest.Wait()
			require.Equal(t, engineio.WebSocket, s.Transport())
			require.Len(t, ts.srv.Sockets(), 1)
			require.Equal(t, engineio.WebSocket, ts.srv.Sockets()[0].Transport())
			require.Zero(t, time.Since(start), "virtual time passed")
			require.NoError(t, s.Close())
			synctest.Wait()
			require.Empty(t, ts.srv.Sockets())
			require.Zero(t, time.Since(start), "virtual time passed")
		})
	})
}

func TestHeartbeatKeepsAnIdleSession(t *testing.T) {
	idle := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) { _, _ = s.Read(ctx) })
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}, {engineio.Polling, engineio.WebSocket}} {
			t.Run(fmt.Sprintf("revision %d %v", rev, transports), func(t *testing.T) {
				inBubble(t, idle, bothRevisions(), func(t *testing.T, ts *testServer) {
					s := ts.connect(&engineio.DialOptions{Revision: rev, Transports: transports})
					s.Discard()
					time.Sleep(10 * time.Minute)
					require.NoError(t, s.Context().Err())
					require.Len(t, ts.srv.Sockets(), 1)
					require.NoError(t, s.Close())
				})
			})
		}
	}
}

func TestServerGivesUpASilentPeer(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
			t.Run(fmt.Sprintf("revision %d %s", rev, transport), func(t *testing.T) {
				var ended chan error // made inside the bubble
				h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
					_, err := s.Read(ctx)
					ended <- err
				})
				inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
					start := time.Now()
					ended = make(chan error, 1)
					if transport == engineio.Polling {
						inBackground(ts.openPolling(rev).poll)
					} else { // a pipe has no buffer, so the client reads all data
						wc, _ := ts.openWebSocket(rev)
						go func() { _, _ = io.Copy(io.Discard, wc.conn) }()
					}
					var closed *engineio.CloseError
					require.ErrorAs(t, <-ended, &closed)
					require.Equal(t, engineio.ReasonPingTimeout, closed.Reason)
					require.Equal(t, 45*time.Second, time.Since(start))
				})
			})
		}
	}
}

// A hundred clients upgrade at the same time over loopback, while both sides send continuously before, during and after
// the upgrade.
func TestManyUpgradesAtOnceLoseNothing(t *testing.T) {
	const clients = 100
	const patience = time.Minute // if a busy machine needs longer for an upgrade, the upgrade is abandoned and the session stays on polling
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			if err := talk(ctx, s, "server", "client"); err != nil {
				t.Errorf("server: %v", err)
			}
			_, _ = s.Read(ctx) // until the client closes
		}), &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, UpgradeTimeout: patience})
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		opts := &engineio.DialOptions{Revision: rev, HTTPClient: &http.Client{Transport: transport}, UpgradeTimeout: patience}
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				s, err := engineio.Dial(ctx, ts.base, opts)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				if err := talk(ctx, s, "client", "server"); err != nil {
					t.Errorf("client: %v", err)
				}
				_ = s.Close()
			})
		}
		wg.Wait()
	})
}

// talk sends numbered messages, and expects the other side's messages in order: hundreds while the session is polling,
// and hundreds after the upgrade. At the end the session must be on a WebSocket.
func talk(ctx context.Context, s *engineio.Socket, mine, theirs string) error {
	const before, after = 200, 200
	failed := make(chan error, 1)
	go func() {
		failed <- func() error {
			for i := range before + after {
				if i == before {
					for s.Transport() != engineio.WebSocket {
						if err := ctx.Err(); err != nil {
							return fmt.Errorf("waiting for the upgrade: %w", err)
						}
						time.Sleep(time.Millisecond)
					}
				}
				if err := s.Write(ctx, engineio.Text(fmt.Sprint(mine, i))); err != nil {
					return fmt.Errorf("write %d: %w", i, err)
				}
			}
			return nil
		}()
	}()
	for i := range before + after {
		m, err := s.Read(ctx)
		if err != nil {
			return fmt.Errorf("read %d: %w", i, err)
		}
		if want := fmt.Sprint(theirs, i); string(m.Data) != want {
			return fmt.Errorf("%q came, not %q", m.Data, want)
		}
	}
	if t := s.Transport(); t != engineio.WebSocket {
		return fmt.Errorf("still on %s", t)
	}
	return <-failed
}
