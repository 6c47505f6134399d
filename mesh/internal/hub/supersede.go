package hub

import (
	"context"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/protocol"
)

// A node of this package numbers its connections, and emits on one of them at a time. When it is back on a newer
// connection, the older ones are superseded: the hub must not route bytes that a proxy, a socket or a stopped hub still
// holds after newer events. docs/packet-format.md describes the rules under "Connections"; claims.go extends them to
// other hubs.

// logSuperseded groups the log lines about superseded sessions.
const logSuperseded = "superseded"

// supersededTime is how long the hub continues to read a superseded session, to count the events that it drops.
const supersededTime = 5 * time.Second

// claim makes the session the only one on which its node emits, and ends the older ones, here and at the other hubs. A
// session that was opened beside another one is claimed with its first event. When claim returns, no event of an older
// session is being routed. It returns false if the session itself must end.
func (p *peer) claim(ctx context.Context, event string) (goesOn bool) {
	if p.superseded.Load() {
		return false
	}
	if p.beside && !protocol.Relayed(event) {
		return true
	}
	h := p.hub
	h.endSuperseded(h.roster.claim(p))
	if p.conn == 0 {
		return true
	}
	if p.conn > 1 {
		h.others.Claim(ctx, p.id, p.conn)
	}
	return ctx.Err() == nil && !p.superseded.Load()
}

// endSuperseded ends superseded sessions. When it returns, their events are in the queues of the listeners, or are
// dropped. It does not wait for callbacks or peers.
func (h *Hub) endSuperseded(peers []*peer) {
	if len(peers) == 0 {
		return
	}
	for _, p := range peers {
		p.setInterests(nil, nil)
		h.announceSuperseded(p)
		sock := p.sock
		time.AfterFunc(supersededTime, func() { sock.Abort(fault.ErrSuperseded) })
		h.conf.Counters.Superseded.Add(1)
		if times := h.rejectLog.Allow(logSuperseded); times > 0 {
			h.conf.Logger.Info("mesh: a session ends: its node is back on a newer connection", "peer", p.id, "name", p.name, "times", times)
		}
	}
	h.inflight.Quiesce()
	h.conf.Local.Settle()
}

// drop drops and counts a message of a superseded session.
func (p *peer) drop(m engineio.Message) {
	packet, err := p.parser.Parse(m.Data)
	if err == nil && protocol.Relayed(packet.Event) {
		p.hub.conf.Counters.Late.Add(1)
	}
}

// claim marks a peer as the one on which its node emits, and returns the older peers of the node, which are superseded.
func (r *roster) claim(p *peer) (older []*peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.claimed = true
	older, _ = r.supersede(p.id, p.conn)
	return older
}

// supersedeAt supersedes the peers of node id whose connection numbers are lower than conn, the number of a connection
// at another hub. It returns them, and the number of the newest claimed connection here if that is newer, or 0.
func (r *roster) supersedeAt(id string, conn uint64) (older []*peer, newest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.supersede(id, conn)
}

// supersede supersedes the peers with an ID whose connections are older than conn. The caller holds r.mu.
func (r *roster) supersede(id string, conn uint64) (older []*peer, newest uint64) {
	var next *peer
	for p := r.ids[id]; p != nil; p = next {
		next = p.other
		switch {
		case p.conn == 0:
		case p.conn < conn:
			r.mark(p)
			older = append(older, p)
		case p.claimed && p.conn > conn:
			newest = max(newest, p.conn)
		}
	}
	return older, newest
}

// mark supersedes a peer and removes it from the lists. The caller holds r.mu.
func (r *roster) mark(p *peer) {
	p.superseded.Store(true)
	r.unlist(p)
	p.count(-1)
}

// stale reports whether a newer connection of a peer's node is claimed. The caller holds r.mu.
func (r *roster) stale(p *peer) bool {
	for q := r.ids[p.id]; q != nil; q = q.other {
		if p.conn != 0 && q.claimed && q.conn > p.conn {
			return true
		}
	}
	return false
}
