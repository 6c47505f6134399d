package mesh

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// NodeInfo is what a hub tells about a node: about each of its peers, whether it is of this package or not, and about
// itself. A page, a Node client and a stock Engine.IO client are nodes too.
type NodeInfo struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // the node's Options.Name
	Role Role   `json:"role"`
	// Hub is the ID of the hub that a client is connected to. A client that moves joins at the new one before it leaves
	// the other.
	Hub string `json:"hub,omitempty"`
	// Addr is the address that a client connected from, or that of a proxy in front of the hub; of a hub where it
	// listens, empty if it has no listener of its own.
	Addr string `json:"addr,omitempty"`
	// Transport and Revision are those of the client's session with the hub, now. A hub has none.
	Transport engineio.Transport `json:"transport,omitempty"`
	Revision  engineio.Revision  `json:"revision,omitempty"`
	// Negotiated is true for nodes of this package, and for all others that introduce themselves as those do.
	Negotiated bool `json:"negotiated"`
	// Browser is true for what calls itself one in its User-Agent.
	Browser bool `json:"browser,omitempty"`
	// Muted is true for a peer that the hub has not admitted: it neither hears nor is heard.
	Muted bool `json:"muted,omitempty"`
	// Since is when a client connected or a hub started, and LastSeen when the last packet or heartbeat of a client came. Both
	// are by the clock of the hub, which may differ from that of this machine: the LastSeen of the hub itself is the time at
	// which the hub gave this description.
	Since    time.Time `json:"since"`
	LastSeen time.Time `json:"lastSeen"`
	// Interests are the names and patterns that it listens to, sorted: at most 32, and 2 KiB together. More counts
	// those that were left out.
	Interests []string `json:"interests"`
	More      int      `json:"more,omitempty"`
}

const (
	maxInterests     = 32      // shown of one node
	maxInterestBytes = 2 << 10 // of these
)

// roster is what a hub tells of its peers. The fields of peers that say so are guarded by its lock too.
type roster struct {
	since time.Time // when the hub started

	mu    sync.Mutex
	slots []*peer // by number; nil where there is none that has introduced itself
	// ids has the latest peer with each ID, and behind it the others: a client may be back before its old connection is
	// known to be dead.
	ids      map[string]*peer
	watchers map[*peer]string // and the member that each belongs to, see peer.member
}

// add lists a peer, which has its ID now.
func (r *roster) add(p *peer) {
	if q := p.sock.Request(); q != nil {
		p.browser = strings.HasPrefix(q.UserAgent(), "Mozilla/")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]*peer)
	}
	if n := p.number + 1 - len(r.slots); n > 0 {
		r.slots = append(r.slots, make([]*peer, n)...)
	}
	r.slots[p.number] = p
	if first := r.ids[p.id]; first == nil || first.conn <= p.conn {
		r.ids[p.id], p.other = p, first
	} else {
		first.other, p.other = p, first.other
	}
}

// remove undoes add, and tells that the peer is gone.
func (r *roster) remove(p *peer) {
	if p.met {
		p.vanish()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.superseded.Load() {
		return // it is not listed any more
	}
	if p.met {
		r.unlist(p)
	}
	p.count(-1)
}

// unlist undoes what add does to the lists. The caller holds r.mu.
func (r *roster) unlist(p *peer) {
	r.slots[p.number] = nil
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

// count adds to the number of peers that are like p.
func (p *peer) count(n int64) {
	if p.admitted {
		p.hub.node.counters.peers.Add(n)
	} else {
		p.hub.node.counters.muted.Add(n)
	}
}

// count returns how many nodes there are, the hub included.
func (r *roster) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) + 1
}

// enter makes a peer one of those that are admitted, and greets it if it knows what that means: first of all, as the index
// does not have it yet. A peer whose node has a newer connection is superseded instead.
func (p *peer) enter() (ok bool) {
	h := p.hub
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if p.superseded.Load() {
		return false
	}
	if h.roster.stale(p) {
		h.roster.mark(p)
		h.node.counters.superseded.Add(1)
		return false
	}
	p.count(-1)
	p.admitted = true
	p.count(1)
	if !p.negotiated {
		return true
	}
	_ = p.sock.TryWrite(reserved(protocol.NameHello, hello{V: protocol.Version, ID: p.id, Hub: h.node.id, Name: h.name}))
	if h.draining && p.willMove() {
		p.sendAway()
	}
	return true
}

// exclude undoes enter.
func (p *peer) exclude() {
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

// describe returns what is told of a peer. The caller holds h.roster.mu.
func (h *hub) describe(p *peer) NodeInfo {
	info := NodeInfo{
		ID: p.id, Name: p.name, Role: Client, Hub: h.node.id, Negotiated: p.negotiated, Muted: !p.admitted,
		Browser: p.browser, Transport: p.sock.Transport(), Revision: p.sock.Revision(),
		Since: stamp(p.since), LastSeen: stamp(p.sock.LastHeartbeat()),
	}
	if seen := time.Unix(0, p.seen.Load()); seen.After(info.LastSeen) {
		info.LastSeen = stamp(seen)
	}
	if q := p.sock.Request(); q != nil {
		info.Addr = q.RemoteAddr
	}
	info.show(p.interests)
	return info
}

// describeSelf returns what the hub tells of itself.
func (h *hub) describeSelf() NodeInfo {
	info := NodeInfo{
		ID: h.node.id, Name: h.name, Role: Hub, Addr: h.node.Addr(), Negotiated: true,
		Since: stamp(h.roster.since), LastSeen: stamp(time.Now()),
	}
	info.show(h.node.interests())
	return info
}

// show sets the interests, as many of them as are shown.
func (i *NodeInfo) show(interests []string) {
	n, size := 0, 0
	for n < min(len(interests), maxInterests) && size+len(interests[n]) <= maxInterestBytes {
		size += len(interests[n])
		n++
	}
	i.Interests, i.More = append([]string{}, interests[:n]...), len(interests)-n
}

// interests returns what a node listens to, sorted.
func (n *Node) interests() []string {
	table, _ := n.emitter.table()
	var names []string
	for key, remote := range table {
		if remote {
			names = append(names, protocol.TableName(key))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// stamp writes a time as it is shown: in UTC, to the millisecond.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func encodeInfo(info NodeInfo) json.RawMessage {
	raw, err := json.Marshal(info)
	if err != nil {
		panic(err) // strings, numbers and times
	}
	return raw
}

// lists tells whether a peer in a slot is to be listed: it is not if a later connection has its ID. The caller holds r.mu.
func (r *roster) lists(p *peer) bool {
	return p != nil && r.ids[p.id] == p
}

// page calls take with nodes that find selects, the hub first, then its peers from the slot after on. It ends when take
// returns false, after limit peers, or after maxScan slots of a search. It returns where the next page starts; 0 if this was
// the last. The caller holds h.roster.mu.
func (h *hub) page(after, limit int, find nodeFilter, take func(NodeInfo) (goesOn bool)) (next int) {
	r := &h.roster
	if after == 0 && find.selects(h.node.id, h.name) {
		take(h.describeSelf()) // a page of the hub alone would have no next
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
		if !r.lists(p) || !find.selects(p.id, p.name) {
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
