package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// A client emits a burst before, during and after its upgrade. The hub replies to each event of the burst, so that both
// directions are busy all the time. Names and payloads have characters of two, three and four bytes.
const (
	burstSize   = 300
	burstName   = "é€😀"
	burstPrefix = "ü€🎈"
	answerName  = "🎈"
)

// requireBurst waits for all events of a burst, or for the replies to them. It checks that they come in order. It also
// finds duplicates, except after the last event: requireSilence finds those.
func requireBurst(t *testing.T, m member, name string) {
	t.Helper()
	var got, want []string
	for i := range burstSize {
		ev := m.heard().MustAwait(t, "heard")
		var payload struct{ Text string }
		require.NoError(t, json.Unmarshal(ev.Payload, &payload))
		got = append(got, ev.Name+" "+payload.Text)
		want = append(want, fmt.Sprintf("%s %s-%d", name, burstPrefix, i))
	}
	require.Empty(t, cmp.Diff(want, got))
}

// requireSilence checks that no member has received further events.
func (s *star) requireSilence(t *testing.T, from member) {
	t.Helper()
	for i, events := range s.settle(t, from) {
		require.Empty(t, events, "member %d", i)
	}
}

// answering makes a hub reply to each event of a burst.
func answering(t *testing.T, hub member) {
	t.Helper()
	switch hub := hub.(type) {
	case nodeMember:
		hub.Must(t, Command{Do: "on", Name: burstName, Answer: answerName}, "listens")
	case goMember:
		hub.On(burstName, func(e mesh.Event) {
			hub.hear(e)
			_ = hub.Emit(answerName, e.Payload) // ignored: the test misses a reply that was not sent
		})
	}
}

// TestEventsOfANodeClientArriveOnceAndInOrderAcrossItsUpgrade runs against a Node.js hub too, for reference. The first
// part of the burst leaves by POST: the client emits it in connect's callback, before it has begun to upgrade.
func TestEventsOfANodeClientArriveOnceAndInOrderAcrossItsUpgrade(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			c := startNodeMember(t)
			s := startStar(t, hub, []kind{goKind})
			sibling := s.clients[0]
			answering(t, s.hub)
			sibling.on(t, burstName)
			s.sync(t)
			for _, name := range []string{answerName, "done"} {
				c.on(t, name)
			}
			c.connect(t, Command{Port: s.port, Name: burstName, Burst: &Burst{Prefix: burstPrefix, Count: burstSize}})
			sent := c.MustAwait(t, "upgrade").Sent
			require.GreaterOrEqual(t, sent, burstSize/3, "emitted before the upgrade was over")
			require.Less(t, sent, burstSize)

			requireBurst(t, s.hub, burstName)
			requireBurst(t, sibling, burstName)
			requireBurst(t, c, answerName)
			s.clients = append(s.clients, c)
			s.requireSilence(t, c)
		})
	}
}

// TestEventsOfAGoClientArriveOnceAndInOrderAcrossItsUpgrade holds the client's WebSocket back until a Node.js hub has
// handled the first part of the burst.
func TestEventsOfAGoClientArriveOnceAndInOrderAcrossItsUpgrade(t *testing.T) {
	t.Parallel()
	s := startStar(t, nodeKind, []kind{nodeKind})
	sibling := s.clients[0]
	answering(t, s.hub)
	sibling.on(t, burstName)
	s.sync(t)
	line := newGate(t)
	c := startGoClient(t, s.port, mesh.Options{HTTPClient: &http.Client{Transport: line}})
	for _, name := range []string{answerName, "done"} {
		c.on(t, name)
	}
	next := 0
	until := func(end int) {
		for ; next < end; next++ {
			c.emit(t, burstName, fmt.Sprintf(`{"text":"%s-%d"}`, burstPrefix, next))
		}
	}

	until(burstSize / 3)
	c.flush(t)
	line.release()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for next < 2*burstSize/3 {
		<-tick.C
		until(next + 1)
	}
	for range s.clients {
		s.hub.heard().MustAwait(t, "upgrade")
	}
	s.hub.heard().MustAwait(t, "upgrade") // the upgrade of the client under test
	until(burstSize)

	requireBurst(t, s.hub, burstName)
	requireBurst(t, sibling, burstName)
	requireBurst(t, c, answerName)
	s.clients = append(s.clients, c)
	s.requireSilence(t, c)
}

// gate is an HTTP transport that holds WebSockets back until they are released.
type gate struct {
	http.Transport
	once sync.Once
	open chan struct{}
}

func newGate(t *testing.T) *gate {
	g := &gate{open: make(chan struct{})}
	t.Cleanup(func() {
		g.release()
		g.CloseIdleConnections()
	})
	return g
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// RoundTrip makes a request.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("transport") == "websocket" {
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return g.Transport.RoundTrip(r)
}
