package meshtest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// LegacyHub behaves like a hub of the original, as far as its clients can see: exact names, the sender in payload.id,
// and recognition of the sender by that ID. It records all packets and requests. A packet fails the test if our clients
// must not send it to a hub of the original: see docs/packet-format.md, Checks on both sides.
type LegacyHub struct {
	URL string

	t      testing.TB
	server *engineio.Server

	mu      sync.Mutex
	tables  map[*engineio.Socket]map[string]json.RawMessage
	packets []string
	paths   []string
}

// StartLegacyHub starts a hub at a loopback address.
func StartLegacyHub(t testing.TB) *LegacyHub {
	h := &LegacyHub{t: t, tables: make(map[*engineio.Socket]map[string]json.RawMessage)}
	h.server = engineio.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	h.URL = serve(t, h)
	t.Cleanup(func() { _ = h.server.Close() })
	return h
}

// ServeHTTP serves the hub's clients.
func (h *LegacyHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.paths = append(h.paths, r.URL.Path)
	h.mu.Unlock()
	h.server.ServeHTTP(w, r)
}

// ServeSocket serves one client.
func (h *LegacyHub) ServeSocket(ctx context.Context, s *engineio.Socket) {
	h.mu.Lock()
	h.tables[s] = nil
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.tables, s)
		h.mu.Unlock()
	}()
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		h.receive(s, string(m.Data))
	}
}

func (h *LegacyHub) receive(s *engineio.Socket, packet string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.packets = append(h.packets, packet)
	var p struct {
		Event      any
		Payload    json.RawMessage
		EventTable any `json:"eventTable"`
		Headers    *struct{ Auth *map[string]any }
	}
	if err := json.Unmarshal([]byte(packet), &p); err != nil {
		h.t.Errorf("not a JSON object: %s", packet)
		return
	}
	event, ok := p.Event.(string)
	if !ok || len(p.Payload) == 0 || string(p.Payload) == "null" {
		h.t.Errorf("no event or no payload: %s", packet)
		return
	}
	if p.Headers == nil || p.Headers.Auth == nil {
		h.t.Errorf("no headers.auth: %s", packet)
	}
	if event == "newListener" {
		h.t.Errorf("newListener, which changes the hub's own table: %s", packet)
	}
	if t, ok := p.EventTable.(map[string]any); ok {
		fresh := map[string]json.RawMessage{}
		for k, v := range t {
			if _, ok := v.(map[string]any); !ok {
				h.t.Errorf("an entry of the table is not an object: %s", packet)
			}
			fresh[k], _ = json.Marshal(v)
		}
		h.tables[s] = fresh
	}
	payload := p.Payload
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) == nil {
		object["id"], _ = json.Marshal(s.ID())
		payload, _ = json.Marshal(object)
	}
	h.broadcast(event, payload)
}

// broadcast sends an event to all clients except the client whose session the payload's id names. The caller holds
// h.mu.
func (h *LegacyHub) broadcast(event string, payload json.RawMessage) {
	key := "mesh::" + event
	if strings.Count(event, "::") == 1 {
		key = event
	}
	var object struct{ ID string }
	_ = json.Unmarshal(payload, &object)
	out, err := json.Marshal(map[string]any{"event": event, "payload": payload})
	require.NoError(h.t, err)
	for s, t := range h.tables {
		if _, wants := t[key]; wants && (object.ID == "" || object.ID != s.ID()) {
			_ = s.TryWrite(engineio.Message{Data: out})
		}
	}
}

// Emit sends an event of the hub itself.
func (h *LegacyHub) Emit(event, payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broadcast(event, json.RawMessage(payload))
}

// Received returns the packets with this event.
func (h *LegacyHub) Received(event string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, p := range h.packets {
		if strings.HasPrefix(p, `{"event":"`+event+`"`) {
			all = append(all, p)
		}
	}
	return all
}

// Packets returns all packets of all clients.
func (h *LegacyHub) Packets() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.packets)
}

// Paths returns the paths of all requests.
func (h *LegacyHub) Paths() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.paths)
}
