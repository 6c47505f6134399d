package hub

import (
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

const (
	maxInterests     = 32      // shown for one node
	maxInterestBytes = 2 << 10 // their total size
)

// roster holds a hub's peers for its descriptions of them. Its lock also guards the fields of peer whose comments say
// so.
type roster struct {
	since time.Time // when the hub started

	mu    sync.Mutex
	slots []*peer // by slot; nil for an unused slot and for a peer that has not introduced itself
	// ids holds the peer with the newest connection for each ID. The other peers with that ID follow in the list
	// peer.other: a client may be back before the hub notices that its old connection is dead.
	ids      map[string]*peer
	watchers map[*peer]string // with the member of each, see peer.member
}

// add lists a peer when its ID is known.
func (r *roster) add(p *peer) {
	if q := p.sock.Request(); q != nil {
		p.browser = strings.HasPrefix(q.UserAgent(), "Mozilla/")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]*peer)
	}
	if n := p.slot + 1 - len(r.slots); n > 0 {
		r.slots = append(r.slots, make([]*peer, n)...)
	}
	r.slots[p.slot] = p
	if first := r.ids[p.id]; first == nil || first.conn <= p.conn {
		r.ids[p.id], p.other = p, first
	} else {
		first.other, p.other = p, first.other
	}
}

// remove undoes add, and reports that the peer has left.
func (r *roster) remove(p *peer) {
	if p.introduced {
		p.announceLeave()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.superseded.Load() {
		return // mark has removed it already
	}
	if p.introduced {
		r.unlist(p)
	}
	p.count(-1)
}

// unlist removes a peer from the lists. The caller holds r.mu.
func (r *roster) unlist(p *peer) {
	r.slots[p.slot] = nil
	delete(r.watchers, p)
	if r.ids[p.id] != p {
		q := r.ids[p.id]
		for q.other != p {
			q = q.other
		}
		q.other = p.other
	} else if r.ids[p.id] = p.other; p.other == nil {
		delete(r.ids, p.id)
	}
	p.other = nil
}

// count adds n to the number of admitted peers if p is admitted, otherwise to the number of muted peers.
func (p *peer) count(n int64) {
	if p.admitted {
		p.hub.conf.Counters.Peers.Add(n)
	} else {
		p.hub.conf.Counters.Muted.Add(n)
	}
}

// count returns the number of nodes, including the hub.
func (r *roster) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) + 1
}

// markAdmitted admits a peer. A peer that negotiated the extensions gets the hello packet, as its first packet, because
// the index does not have the peer yet. If the node has a newer connection, markAdmitted marks the peer as superseded
// instead and returns false.
func (p *peer) markAdmitted() (ok bool) {
	h := p.hub
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if p.superseded.Load() {
		return false
	}
	if h.roster.stale(p) {
		h.roster.mark(p)
		h.conf.Counters.Superseded.Add(1)
		return false
	}
	p.count(-1)
	p.admitted = true
	p.count(1)
	if !p.negotiated {
		return true
	}
	_ = p.sock.TryWrite(wire.Control(protocol.NameHello, wire.Hello{V: protocol.Version, ID: p.id, Hub: h.conf.ID, Name: h.conf.Name}))
	if h.draining && p.willMove() {
		p.askToMove()
	}
	return true
}

// markUnadmitted undoes markAdmitted.
func (p *peer) markUnadmitted() {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	if p.superseded.Load() {
		return
	}
	p.count(-1)
	p.admitted = false
	p.count(1)
}

func (p *peer) setTable(table []byte) {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.table = table
}

func (p *peer) setBadTable(bad bool) {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.badTable = bad
}

func (p *peer) noteInterests(interests []string) {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.interests = interests
}

// describe returns the description of a peer. The caller holds h.roster.mu.
func (h *Hub) describe(p *peer) protocol.NodeInfo {
	info := protocol.NodeInfo{
		ID: p.id, Name: p.name, Role: protocol.RoleClient, Hub: h.conf.ID, Negotiated: p.negotiated, Muted: !p.admitted,
		Browser: p.browser, Transport: string(p.sock.Transport()), Revision: int(p.sock.Revision()),
		Since: wire.Stamp(p.since), LastSeen: wire.Stamp(p.sock.LastHeartbeat()),
	}
	if seen := time.Unix(0, p.seen.Load()); seen.After(info.LastSeen) {
		info.LastSeen = wire.Stamp(seen)
	}
	if q := p.sock.Request(); q != nil {
		info.Addr = q.RemoteAddr
	}
	showInterests(&info, p.interests)
	return info
}

// Describe returns the description of the hub.
func (h *Hub) Describe() protocol.NodeInfo {
	info := protocol.NodeInfo{
		ID: h.conf.ID, Name: h.conf.Name, Role: protocol.RoleHub, Addr: h.conf.Addr, Negotiated: true,
		Since: wire.Stamp(h.roster.since), LastSeen: wire.Stamp(time.Now()),
	}
	showInterests(&info, h.conf.Local.Interests())
	return info
}

// showInterests sets Interests to as many names and patterns as the limits permit, and More to the number of the
// others.
func showInterests(i *protocol.NodeInfo, interests []string) {
	n, size := 0, 0
	for n < min(len(interests), maxInterests) && size+len(interests[n]) <= maxInterestBytes {
		size += len(interests[n])
		n++
	}
	i.Interests, i.More = append([]string{}, interests[:n]...), len(interests)-n
}

// lists reports whether to list the peer of a slot. It is not listed if a newer connection has its ID. The caller holds
// r.mu.
func (r *roster) lists(p *peer) bool {
	return p != nil && r.ids[p.id] == p
}

// page calls take with the nodes that find selects: the hub if after is 0, then its peers from slot after on. It ends
// when take returns false, after limit peers, or after maxScan slots of a search. It returns the slot at which the next
// page starts, or 0 after the last page. The caller holds h.roster.mu.
func (h *Hub) page(after, limit int, find wire.NodeFilter, take func(protocol.NodeInfo) (goesOn bool)) (next int) {
	r := &h.roster
	if after == 0 && find.Selects(h.conf.ID, h.conf.Name) {
		take(h.Describe()) // ignore the result, because a page that has only the hub could not have a next page
	}
	if p := r.ids[find.Find]; p != nil && find.Exact {
		take(h.describe(p))
		return 0
	}
	given := 0
	for i := after; i < len(r.slots); i++ {
		p := r.slots[i]
		if find.Find != "" && i == after+maxScan {
			return i
		}
		if !r.lists(p) || !find.Selects(p.id, p.name) {
			continue
		}
		if given == limit {
			return i
		}
		given++
		if !take(h.describe(p)) {
			return i + 1
		}
	}
	return 0
}
