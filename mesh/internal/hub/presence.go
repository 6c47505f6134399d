package hub

import (
	"encoding/json"
	"strconv"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// maxWatchers limits the peers that watch presence at a hub. maxWatchersOfMember limits the watching peers of one
// member.
const (
	maxWatchers         = 256
	maxWatchersOfMember = 64
)

// announceJoin reports to the watching peers that a peer has joined.
func (p *peer) announceJoin() {
	r := &p.hub.roster
	r.mu.Lock()
	if p.superseded.Load() {
		r.mu.Unlock()
		return
	}
	p.present = true
	change := p.hub.reportPresence(protocol.NameJoin, p)
	r.mu.Unlock()
	if change.disconnectSlow(); change.own {
		p.hub.conf.Local.Presence(change.event, change.info, true)
	}
}

// announceLeave reports to the watching peers that a peer has left, unless its node is back already.
func (p *peer) announceLeave() {
	r := &p.hub.roster
	r.mu.Lock()
	delete(r.watchers, p)
	p.hub.updatePresenceWatch()
	var change presenceChange
	if p.present && !p.superseded.Load() && r.ids[p.id] == p && p.other == nil {
		change = p.hub.reportPresence(protocol.NameLeave, p)
	}
	p.present = false
	r.mu.Unlock()
	if change.disconnectSlow(); change.own {
		p.hub.conf.Local.Presence(change.event, change.info, true)
	}
}

// announceSuperseded is like announceLeave, for a superseded peer. It reports nothing if the node is back at this hub.
// It does not wait for callbacks.
func (h *Hub) announceSuperseded(p *peer) {
	r := &h.roster
	r.mu.Lock()
	h.updatePresenceWatch()
	var change presenceChange
	if p.present && r.ids[p.id] == nil {
		change = h.reportPresence(protocol.NameLeave, p)
	}
	r.mu.Unlock()
	if change.disconnectSlow(); change.own && !h.conf.Local.Presence(change.event, change.info, false) {
		h.missed(1, protocol.NameLeave)
	}
}

// presenceChange holds the work that remains, without a lock, after a presence change was reported to the watching
// peers: the peers whose queues were full, and the report to the hub's own listeners.
type presenceChange struct {
	slow  []*peer
	own   bool // the hub's own listeners get the change too
	event string
	info  json.RawMessage
}

func (c *presenceChange) disconnectSlow() {
	for _, p := range c.slow {
		p.overflow()
	}
}

// reportPresence reports a presence change of a peer to the watching peers and to the other hubs. The caller holds
// h.roster.mu.
func (h *Hub) reportPresence(event string, about *peer) (change presenceChange) {
	own := h.conf.Local.WatchesPresence()
	r := &h.roster
	if !own && len(r.watchers) == 0 && h.others.Alone() {
		return change
	}
	info := wire.EncodeInfo(h.describe(about))
	change.slow = r.notify(event, info, about)
	h.others.ReportPresence(event, info)
	change.own, change.event, change.info = own, event, info
	return change
}

// Presence reports a presence change of another hub, or of a node of another hub, to the watching peers. It does not
// wait for callbacks.
func (h *Hub) Presence(event string, info json.RawMessage) {
	h.roster.mu.Lock()
	slow := h.roster.notify(event, info, nil)
	h.roster.mu.Unlock()
	for _, p := range slow {
		p.overflow()
	}
	if !h.conf.Local.Presence(event, info, false) {
		h.missed(1, event)
	}
}

// notify sends a presence change to the watching peers except about, and returns the peers whose queue is full. about
// is nil for a change at another hub. The caller holds r.mu, so that no peer receives a join after the leave that
// followed it.
func (r *roster) notify(event string, info json.RawMessage, about *peer) (slow []*peer) {
	if len(r.watchers) == 0 {
		return nil
	}
	m := []engineio.Message{engineio.Prepare(wire.Control(event, info))}
	for p := range r.watchers {
		// The permissions may have changed since the peer subscribed to presence.
		if p != about && p.may(Emit, protocol.NameNodes) && !p.offer(m) {
			slow = append(slow, p)
		}
	}
	return slow
}

// WatchPresence is called when the node has its first listener for joins and leaves, or has lost its last one.
func (h *Hub) WatchPresence() {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.updatePresenceWatch()
}

// watchFor turns the presence reports to a peer on or off. It returns false if the hub has too many watching peers. The
// caller holds h.roster.mu.
func (h *Hub) watchFor(p *peer, on bool) bool {
	ok := h.roster.watch(p, on)
	h.updatePresenceWatch()
	return ok
}

func (p *peer) stopWatching() {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	_ = p.hub.watchFor(p, false)
}

// watch turns the presence reports to a peer on or off. It returns false if there are too many watching peers. The
// caller holds r.mu.
func (r *roster) watch(p *peer, on bool) bool {
	if !on {
		delete(r.watchers, p)
		return true
	}
	if _, is := r.watchers[p]; is {
		return true
	}
	member, same := p.member(), 0
	for _, other := range r.watchers {
		if member != "" && other == member {
			same++
		}
	}
	if len(r.watchers) == maxWatchers || same == maxWatchersOfMember {
		return false
	}
	if r.watchers == nil {
		r.watchers = make(map[*peer]string)
	}
	r.watchers[p] = member
	return true
}

// member returns the member of the mesh that a peer belongs to. All peers with the same credentials are one member. At
// a hub without Authorize, all peers with the same address are one member. The result is empty for a peer without
// credentials whose address does not count, see Options.ConnsPerAddr.
func (p *peer) member() string {
	c := p.identity()
	if p.user != "" || c.Token != "" {
		return "credentials " + strconv.Quote(p.user) + c.Token
	}
	if r := p.sock.Request(); r != nil {
		if addr := p.hub.guests.addr(r); addr.IsValid() {
			return addr.String()
		}
	}
	return ""
}

// updatePresenceWatch subscribes to the presence changes of the other hubs while a peer or a listener of this hub
// watches presence. The caller holds h.roster.mu.
func (h *Hub) updatePresenceWatch() {
	h.others.WatchPresence(len(h.roster.watchers) > 0 || h.conf.Local.WatchesPresence())
}
