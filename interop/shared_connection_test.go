package interop

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestRejectedPostsBehindNginx: a proxy that keeps connections to the server alive sends the requests of all clients on
// them. A client with rejected requests must not end the sessions of other clients.
func TestRejectedPostsBehindNginx(t *testing.T) {
	interoptest.Need(t, "nginx")
	clients, attack := 10, time.Second
	if interoptest.Full() {
		clients, attack = 20, 10*time.Second
	}
	p, err := nginx.with(Proxied{KeepAlive: true, NoUpgrade: true}).start(t, startEcho(t))
	require.NoError(t, err)

	var sessions []*engineio.Socket
	for range clients {
		s, err := engineio.Dial(t.Context(), p.url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}})
		require.NoError(t, err)
		sessions = append(sessions, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), attack)
	defer cancel()
	var work sync.WaitGroup
	var rejected, echoes, lost atomic.Int64
	work.Go(func() { // the attacker
		for ctx.Err() == nil {
			if rejectedPost(ctx, p.url) == http.StatusBadRequest {
				rejected.Add(1)
			}
		}
	})
	for _, s := range sessions {
		work.Go(func() {
			for ctx.Err() == nil {
				if s.Write(t.Context(), engineio.Text("x")) != nil {
					lost.Add(1)
					return
				}
				if m, err := s.Read(t.Context()); err != nil || string(m.Data) != "x" {
					lost.Add(1)
					return
				}
				echoes.Add(1)
			}
		})
	}
	work.Wait()
	t.Logf("%d requests rejected, %d echoes, %d of %d other sessions lost", rejected.Load(), echoes.Load(), lost.Load(), clients)
	require.Positive(t, rejected.Load())
	require.Positive(t, echoes.Load())
	require.Zero(t, lost.Load(), "sessions that another client ended")
	for _, s := range sessions {
		s.Abort(nil)
		require.NoError(t, s.Close())
	}
}

// rejectedPost opens a session and sends a POST without a body and with a type that revision 4 does not allow. It
// returns the status.
func rejectedPost(ctx context.Context, url string) int {
	do := func(method, query, contentType string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, method, url+"?EIO=4&transport=polling"+query, http.NoBody)
		if err != nil {
			return 0, ""
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	_, open := do(http.MethodGet, "", "")
	_, sid, _ := strings.Cut(open, `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	status, _ := do(http.MethodPost, "&sid="+sid, "application/octet-stream")
	return status
}
