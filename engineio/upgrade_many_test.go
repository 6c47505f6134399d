package engineio_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

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
