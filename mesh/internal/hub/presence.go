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

// appear reports to the watching peers that a peer has joined.
func (p *peer) appear() {
	r := &p.hub.roster
	r.mu.Lock()
	if p.superseded.Load() {
		r.mu.Unlock()
		return
	}
	p.present = true
	told := p.hub.tell(protocol.NameJoin, p)
	r.mu.Unlock()
	if told.finish(); told.own {
		p.hub.conf.Local.Presence(told.event, told.info, true)
	}
}

// vanish reports to the watching peers that a peer has left, unless its node is back already.
func (p *peer) vanish() {
	r := &p.hub.roster
	r.mu.Lock()
	delete(r.watchers, p)
	p.hub.listenForOthers()
	var told notice
	if p.present && !p.superseded.Load() && r.ids[p.id] == p && p.other == nil {
		told = p.hub.tell(protocol.NameLeave, p)
	}
	p.present = false
	r.mu.Unlock()
	if told.finish(); told.own {
		p.hub.conf.Local.Presence(told.event, told.info, true)
	}
}

// vanished is like vanish, for a superseded peer. It reports nothing if the node is back at this hub. It does not wait
// for callbacks.
func (h *Hub) vanished(p *peer) {
	r := &h.roster
	r.mu.Lock()
	h.listenForOthers()
	var told notice
	if p.present && r.ids[p.id] == nil {
		told = h.tell(protocol.NameLeave, p)
	}
	r.mu.Unlock()
	if told.finish(); told.own && !h.conf.Local.Presence(told.event, told.info, false) {
		h.missed(1, protocol.NameLeave)
	}
}

// notice holds the work that remains, without a lock, after a presence change was reported to the watching peers: the
// peers whose queues were full, and the report to the hub's own listeners.
type notice struct {
	slow  []*peer
	own   bool // the hub's own listeners get the change too
	event string
	info  json.RawMessage
}

func (n *notice) finish() {
	for _, p := range n.slow {
		p.overflow()
	}
}

// tell reports a presence change of a peer to the watching peers and to the other hubs. The caller holds h.roster.mu.
func (h *Hub) tell(event string, about *peer) (told notice) {
	own := h.conf.Local.WatchesPresence()
	r := &h.roster
	if !own && len(r.watchers) == 0 && h.others.Alone() {
		return told
	}
	info := wire.EncodeInfo(h.describe(about))
	told.slow = r.notify(event, info, about)
	h.others.ReportPresence(event, info)
	told.own, told.event, told.info = own, event, info
	return told
}

// Presence reports a presence change of another hub, or of a node of another hub, to the watching peers. It does not wait
// for callbacks.
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

func (h *Hub) WatchPresence() {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.listenForOthers()
}

// watchFor turns the presence reports to a peer on or off. It returns false if the hub has too many watching peers. The
// caller holds h.roster.mu.
func (h *Hub) watchFor(p *peer, on bool) bool {
	ok := h.roster.watch(p, on)
	h.listenForOthers()
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

// listenForOthers subscribes to the presence changes of the other hubs while a peer or a listener of this hub watches
// presence. The caller holds h.roster.mu.
func (h *Hub) listenForOthers() {
	h.others.WatchPresence(len(h.roster.watchers) > 0 || h.conf.Local.WatchesPresence())
}
