package meshtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// Hub is a hub that greets its clients, responds to pings, and does nothing else by itself. Each client that connects is
// a Peer. Hub is an http.Handler.
type Hub struct {
	ID    string
	Peers *Recorder[*Peer] // the clients that have connected
	// Deaf, if true, keeps the hub from reading after a client's first packet.
	Deaf atomic.Bool

	t      testing.TB
	server *engineio.Server
	greet  atomic.Pointer[func(node string) []string]
}

// Peer is a client's session at a Hub.
type Peer struct {
	*Session
	Hello string // the client's first packet
}

// NewHub returns a hub with an ID. The cleanup of the test closes it.
func NewHub(t testing.TB, id string) *Hub {
	h := &Hub{ID: id, Peers: NewRecorder[*Peer](t), t: t}
	h.server = engineio.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	t.Cleanup(func() { _ = h.server.Close() })
	return h
}

// StartHub starts a hub at a loopback address.
func StartHub(t testing.TB, id string) (h *Hub, url string) {
	h = NewHub(t, id)
	return h, serve(t, h)
}

// serve starts an HTTP server for the test.
func serve(t testing.TB, handler http.Handler) (url string) {
	web := httptest.NewServer(handler)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

// Greet sets the packets that the hub sends when it has read a client's first packet, and before it responds to the ping
// that follows. node is the ID of a client that offers the extensions. With nil the hub sends $mesh.hello.
func (h *Hub) Greet(packets func(node string) []string) {
	if packets == nil {
		h.greet.Store(nil)
		return
	}
	h.greet.Store(&packets)
}

// HelloPacket returns the packet with which a hub introduces itself to a client.
func HelloPacket(hub, node string) string {
	return fmt.Sprintf(`{"event":"$mesh.hello","payload":{"v":1,"id":"%s","hub":"%s"}}`, node, hub)
}

// ServeHTTP serves the hub's clients.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.ServeHTTP(w, r) }

// ServeSocket serves one client.
func (h *Hub) ServeSocket(ctx context.Context, s *engineio.Socket) {
	m, err := s.Read(ctx)
	if err != nil {
		return
	}
	p := &Peer{newSession(h.t, s), string(m.Data)}
	node := ""
	if packet, err := protocol.Parse(m.Data); err != nil || packet.Headers.Mesh == nil {
		h.t.Errorf("the client offers no extensions: %s", m.Data)
	} else {
		node = protocol.ID(packet.Headers.Mesh.Key)
	}
	packets := []string{HelloPacket(h.ID, node)}
	if greet := h.greet.Load(); greet != nil {
		packets = (*greet)(node)
	}
	for _, packet := range packets {
		_ = s.TryWrite(engineio.Text(packet)) // the client may have left by now
	}
	h.Peers.Add(p)
	if h.Deaf.Load() {
		<-ctx.Done()
		close(p.Done)
		return
	}
	p.record(ctx)
}

// AnswerSync waits for the client's $mesh.sync, and replies.
func (p *Peer) AnswerSync() {
	p.t.Helper()
	query := p.Next()
	require.Contains(p.t, query, `"$mesh.sync"`)
	p.Send(query)
}
