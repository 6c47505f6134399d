package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// A node may reconnect at another hub. That hub then claims the node: it sends the number of the connection to the
// other hubs. It waits until they have superseded the node's older connections and have routed all events of the node
// that they had published. A hub that does not reply may be stopped or out of reach, and may publish old events later.
// So all hubs remember the hub of a node that has reconnected, and drop the node's events from other hubs. The number
// of the connection is a fencing token.
//
// docs/cluster.md describes the messages. A hub of an earlier version replies to a claim as to any sync.

const (
	// fenceTime is how long a hub remembers where a node emits.
	fenceTime = 5 * time.Minute
	// maxFences bounds the nodes that a hub remembers.
	maxFences = 1 << 16
	// maxClaims bounds the claims in one message.
	maxClaims = 4096
	// claimTries is the number of times that a hub sends a claim while another hub does not reply.
	claimTries = 3
)

// claim is a connection that the other hubs must know.
type claim struct {
	conn  uint64
	tries int
}

// Claim reports to the other hubs that a node emits here, on its connection with this number. It returns when they have
// routed all earlier events of the node, or have not replied in time.
func (c *Cluster) Claim(ctx context.Context, id string, conn uint64) {
	if c.Alone() {
		return
	}
	c.Attend(ctx)
	c.mu.Lock()
	c.claims.add(id, claim{conn: conn, tries: claimTries})
	c.version++
	version := c.version
	c.mu.Unlock()
	c.Await(ctx, version)
	if ctx.Err() == nil {
		c.fences.set(id, holder{hub: c.conf.ID, conn: conn})
	}
}

// claims holds the claims that the other hubs must receive, by the node's ID.
type claims map[string]claim

func (c *claims) add(id string, next claim) {
	if *c == nil {
		*c = make(claims)
	}
	if (*c)[id].conn < next.conn {
		(*c)[id] = next
	}
}

// conns returns the connection number of each claim, by node ID. Each of the returned maps fits into one message.
func (c claims) conns() (parts []map[string]uint64) {
	for ids := range slices.Chunk(slices.Collect(maps.Keys(c)), maxClaims) {
		part := make(map[string]uint64, len(ids))
		for _, id := range ids {
			part[id] = c[id].conn
		}
		parts = append(parts, part)
	}
	return parts
}

// retry puts the claims of a round that a hub has not confirmed into the next round, until they were sent claimTries
// times. The caller holds c.mu.
func (c *Cluster) retry(r *round) {
	for id, again := range r.claims {
		if again.tries--; again.tries > 0 {
			c.claims.add(id, again)
		}
	}
}

// sendClaims sends a newly met hub the claims for the nodes that have reconnected to this hub.
func (c *Cluster) sendClaims(hub string) {
	for _, part := range c.fences.own(c.conf.ID).conns() {
		c.send(subjectHub+hub, &control{Kind: kindClaims, Conns: part}, nil)
	}
}

// receiveClaims supersedes the connections that nodes had here before they connected to another hub.
func (c *Cluster) receiveClaims(from string, conns map[string]uint64) {
	var newer claims // of nodes that have connected here since
	for id, conn := range c.conf.Hub.Supersede(conns, func(id string, conn uint64) { c.fences.expect(id, holder{hub: from, conn: conn}) }) {
		newer.add(id, claim{conn: conn})
	}
	for _, part := range newer.conns() {
		c.send(subjectHub+from, &control{Kind: kindClaims, Conns: part}, nil)
	}
}

// replyToClaims replies to a sync that carried claims. It replies when all hubs other than the asking one have
// processed everything that this hub has published.
func (c *Cluster) replyToClaims(from string, rid uint64) {
	c.conf.Hub.Quiesce() // after this, events that were being routed are published
	hubs := slices.DeleteFunc(c.IDs(), func(id string) bool { return id == from })
	answer := func() { c.send(subjectHub+from, &control{Kind: kindReply, RID: rid}, nil) }
	if len(hubs) == 0 {
		answer()
		return
	}
	var mu sync.Mutex
	waiting := len(hubs)
	for _, id := range hubs {
		c.call(id, control{Kind: kindSync}, func(*control) {
			mu.Lock()
			waiting--
			last := waiting == 0
			mu.Unlock()
			if last {
				answer()
			}
		})
	}
}

// fences records the nodes that have reconnected, and where they emit.
type fences struct {
	mu    sync.Mutex // held while events of another hub are routed
	nodes map[string]*fence
	// The hubs whose version sends claims, with the time of their last message that says so. The events of all other
	// hubs pass.
	hubs map[string]time.Time
}

// fence records where a node emits.
type fence struct {
	at holder // the hub whose events pass; with the zero value all events pass
	// The hubs that have claimed the node since, in the order of their connections. None of them has published an event
	// of the node yet.
	next []holder
	set  time.Time
}

// holder is a hub that has a node, and the number of the node's connection there.
type holder struct {
	hub  string
	conn uint64
}

// passes reports whether the hub routes events of a node that another hub has published. The caller holds f.mu.
func (f *fences) passes(id, hub string) bool {
	fence := f.nodes[id]
	switch {
	case fence == nil || id == hub: // a node that has become a hub emits there
		return true
	case f.hubs[hub].IsZero(): // of an earlier version: the node may have reconnected there
		return true
	case fence.pass(hub):
		return true
	}
	return fence.at.hub == "" || fence.at.hub == hub
}

// pass records the first event of a node at a hub that has claimed the node. It returns false if hub has no such claim.
func (f *fence) pass(hub string) bool {
	i := slices.IndexFunc(f.next, func(h holder) bool { return h.hub == hub })
	if i < 0 {
		return false
	}
	f.at, f.next = f.next[i], f.next[i+1:]
	return true
}

// expect records that another hub has claimed a node. Until that hub publishes an event of the node, expect does not
// change which hubs' events of the node pass.
func (f *fences) expect(id string, next holder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fence := f.get(id)
	if fence.at.conn >= next.conn {
		return
	}
	i, known := slices.BinarySearchFunc(fence.next, next, func(a, b holder) int { return cmp.Compare(a.conn, b.conn) })
	if !known {
		fence.next = slices.Insert(fence.next, i, next)
	}
}

// know records that the version of a hub sends claims for the nodes that reconnect to it.
func (f *fences) know(hub string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hubs == nil {
		f.hubs = make(map[string]time.Time)
	}
	f.hubs[hub] = time.Now()
}

// set records where a node emits from now on.
func (f *fences) set(id string, at holder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fence := f.get(id)
	if fence.at.conn < at.conn {
		fence.at = at
		fence.next = slices.DeleteFunc(fence.next, func(h holder) bool { return h.conn <= at.conn })
	}
}

// get returns the fence of a node, and makes a missing one. The caller holds f.mu.
func (f *fences) get(id string) *fence {
	found := f.nodes[id]
	if found == nil {
		if f.nodes == nil {
			f.nodes = make(map[string]*fence)
		}
		if len(f.nodes) >= maxFences {
			for any := range f.nodes { // a random one
				delete(f.nodes, any)
				break
			}
		}
		found = new(fence)
		f.nodes[id] = found
	}
	found.set = time.Now()
	return found
}

// own returns the claims of one hub.
func (f *fences) own(hub string) (own claims) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, fence := range f.nodes {
		if fence.at.hub == hub {
			own.add(id, claim{conn: fence.at.conn})
		}
	}
	return own
}

// expire removes fences that are older than fenceTime.
func (f *fences) expire(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.nodes, func(_ string, fence *fence) bool { return now.Sub(fence.set) >= fenceTime })
	maps.DeleteFunc(f.hubs, func(_ string, said time.Time) bool { return now.Sub(said) >= fenceTime })
}
