package mesh

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// A node may return at another hub. That hub claims the node: it sends the number of the connection to the other hubs, and
// waits until they have superseded older connections and have routed all events of the node that they had published. A hub that
// does not answer may be stopped or out of reach, and may publish old events later. So all hubs remember the hub of a returned
// node, and drop its events from other hubs. The number of the connection is a fencing token.
//
// docs/cluster.md describes the messages. Hubs that do not know them answer as they answer any sync.

const (
	// fenceTime is how long a hub remembers where a node emits, after it has learned that.
	fenceTime = 5 * time.Minute
	// maxFences bounds the nodes for which it does.
	maxFences = 1 << 16
	// maxClaims bounds the claims in one message.
	maxClaims = 4096
	// claimTries is how often a claim is repeated while a hub does not answer.
	claimTries = 3
)

// claim is a connection that the other hubs are to learn of.
type claim struct {
	conn  uint64
	tries int
}

// claim tells the other hubs that a node emits here, on its connection with this number. It returns when they have routed
// all earlier events of the node, or have not answered in time.
func (c *cluster) claim(ctx context.Context, id string, conn uint64) {
	if c == nil || c.alone() {
		return
	}
	c.attend(ctx)
	c.mu.Lock()
	c.claims.add(id, claim{conn: conn, tries: claimTries})
	c.version++
	version := c.version
	c.mu.Unlock()
	c.await(ctx, version)
	if ctx.Err() == nil {
		c.fences.set(id, holder{hub: c.hub.node.id, conn: conn})
	}
}

// claims are the claims that the other hubs have to receive, by the node's ID.
type claims map[string]claim

func (c *claims) add(id string, next claim) {
	if *c == nil {
		*c = make(claims)
	}
	if (*c)[id].conn < next.conn {
		(*c)[id] = next
	}
}

// conns returns the numbers of the claims, in parts that fit into a message.
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

// retry has the claims of a round repeated that some hub has not answered. The caller holds c.mu.
func (c *cluster) retry(r *round) {
	for id, again := range r.claims {
		if again.tries--; again.tries > 0 {
			c.claims.add(id, again)
		}
	}
}

// tellClaims tells a hub that was met where the nodes emit that came back to this one.
func (c *cluster) tellClaims(hub string) {
	for _, part := range c.fences.own(c.hub.node.id).conns() {
		c.say(nameHub+hub, &control{Kind: sayClaims, Conns: part}, nil)
	}
}

// receiveClaims supersedes the connections that nodes had here before they came to another hub.
func (c *cluster) receiveClaims(from string, conns map[string]uint64) {
	var older []*peer
	var newer claims // of nodes that have connected here since
	for id, conn := range conns {
		gone, newest := c.hub.roster.supersedeAt(id, conn)
		older = append(older, gone...)
		if newest > 0 {
			newer.add(id, claim{conn: newest})
			continue
		}
		c.fences.expect(id, holder{hub: from, conn: conn})
	}
	c.hub.retire(older)
	for _, part := range newer.conns() {
		c.say(nameHub+from, &control{Kind: sayClaims, Conns: part}, nil)
	}
}

// answerClaims answers a hub that asked with claims, when the third hubs have dealt with everything that this one has
// published.
func (c *cluster) answerClaims(from string, rid uint64) {
	c.hub.busy.wait() // then the events in routing are published
	hubs := slices.DeleteFunc(c.hubs(), func(id string) bool { return id == from })
	answer := func() { c.say(nameHub+from, &control{Kind: sayAnswer, RID: rid}, nil) }
	if len(hubs) == 0 {
		answer()
		return
	}
	var mu sync.Mutex
	waiting := len(hubs)
	for _, id := range hubs {
		c.ask(id, control{Kind: askSync}, func(*control) {
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

// fences are the nodes that came back, and where they emit.
type fences struct {
	mu    sync.Mutex // held while events of another hub are routed
	nodes map[string]*fence
	hubs  map[string]time.Time // hubs that claim nodes, and the time of their last message about it. Events of other hubs pass
}

// fence says where a node emits.
type fence struct {
	at   holder   // events from other hubs are dropped; the zero value lets all pass
	next []holder // hubs that have claimed the node since, in the order of their connections, and whose events have not come
	set  time.Time
}

// holder is a hub that has a node, and the number of its connection.
type holder struct {
	hub  string
	conn uint64
}

// passes tells whether events of a node that another hub has published are to be routed. The caller holds f.mu.
func (f *fences) passes(id, hub string) bool {
	fence := f.nodes[id]
	switch {
	case fence == nil || id == hub: // a node that became a hub emits there
		return true
	case f.hubs[hub].IsZero(): // of an earlier version: the node may have come back there
		return true
	case fence.pass(hub):
		return true
	}
	return fence.at.hub == "" || fence.at.hub == hub
}

// pass makes a hub that has claimed the node the one where it emits.
func (f *fence) pass(hub string) bool {
	i := slices.IndexFunc(f.next, func(h holder) bool { return h.hub == hub })
	if i < 0 {
		return false
	}
	f.at, f.next = f.next[i], f.next[i+1:]
	return true
}

// expect notes that another hub has claimed a node. Until events come from there, those from elsewhere pass.
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

// know notes that a hub claims the nodes that come back to it.
func (f *fences) know(hub string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hubs == nil {
		f.hubs = make(map[string]time.Time)
	}
	f.hubs[hub] = time.Now()
}

// set notes where a node emits from now on.
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
