package interop

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestUpgradeWhileTheReaderIsBusy: the reader of a session is busy for longer than an upgrade may take. The client
// waits for the end of its POST before it sends 5. It has stopped polling by then and cannot return to it. A normal
// run has the last client of each revision.
func TestUpgradeWhileTheReaderIsBusy(t *testing.T) {
	t.Parallel()
	const messages, upgradeTimeout = 300, 100 * time.Millisecond
	versions := []string{"3.5.4", "6.6.8"}
	if interoptest.Full() {
		versions = append(versions, "1.4.1", "1.8.5", "2.1.1")
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			probing := make(chan struct{})
			arrived := make(chan error, 1)
			receive := func(ctx context.Context, s *engineio.Socket) error {
				for i := range messages {
					m, err := s.Read(ctx)
					if err != nil {
						return err
					}
					if want := fmt.Sprint("client-", i); string(m.Data) != want {
						return fmt.Errorf("%q came instead of %q", m.Data, want)
					}
					if i == 0 {
						<-probing
						time.Sleep(3 * upgradeTimeout) // the delay under test, and not a wait for an event
					}
				}
				return s.Write(ctx, engineio.Text("all"))
			}
			handler := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				arrived <- receive(ctx, s)
				_, _ = s.Read(ctx)
			})
			srv := engineio.NewServer(handler, &engineio.ServerOptions{
				Revisions:      []engineio.Revision{engineio.Revision3, engineio.Revision4},
				UpgradeTimeout: upgradeTimeout,
			})
			var posts atomic.Int32
			held := make(chan struct{}) // closed when a POST waits for the reader
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost && posts.Add(1) == 2:
					close(held)
				case r.URL.Query().Get("transport") == "websocket":
					<-held
					close(probing)
				}
				srv.ServeHTTP(w, r)
			}))
			t.Cleanup(func() {
				require.NoError(t, srv.Close())
				web.Close()
			})
			client := startNode(t, EngineClient, version).Endpoint()
			require.NoError(t, client.Do(Command{
				Do: "dial", URL: web.URL, Options: map[string]any{"transports": []string{"polling", "websocket"}},
				Burst: &Burst{Prefix: "client", Count: messages}, Upgrade: true,
			}))
			client.MustAwait(t, "open")
			require.Equal(t, "websocket", client.MustAwait(t, "upgrade").Transport)
			require.NoError(t, <-arrived)
			require.Equal(t, "all", *client.MustAwait(t, "message").Text)
		})
	}
}
