package mesh

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// otherHub is what a hub knows of another one.
type otherHub struct {
	number int       // given by this hub: pages of nodes follow it
	seen   time.Time // when it last said something
	info   *NodeInfo // nil until it has introduced itself
	nodes  int       // that it has, itself included
}

// meet notes that a hub lives, and what it says of itself.
func (c *cluster) meet(id string, said *control) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	other := c.others[id]
	stranger := other == nil
	if stranger {
		delete(c.silent, id)
		c.numbered++
		other = &otherHub{number: c.numbered, nodes: 1}
		c.others[id] = other
		c.hub.node.counters.hubs.Store(int64(len(c.others)))
		c.met.Store(true)
	}
	other.seen = time.Now()
	var joined *NodeInfo
	if said != nil {
		if said.Hub != nil {
			said.Hub.ID, said.Hub.Role = id, Hub // it can speak for itself only
			if other.info == nil {
				joined = said.Hub
			}
			other.info = said.Hub
		}
		if said.Count > 0 {
			other.nodes = said.Count
		}
	}
	c.mu.Unlock()
	if stranger && (said == nil || said.Kind != sayHello && said.Hub == nil) {
		self := c.hub.describeSelf()
		c.say(nameHub+id, &control{Kind: sayHello, Hub: &self, Claims: true}, nil)
	}
	if said != nil && said.Claims {
		c.fences.know(id)
	}
	if stranger {
		c.tellClaims(id)
	}
	if joined != nil {
		c.hub.node.opts.Logger.Info("mesh: another hub has joined", "hub", id, "name", joined.Name, "addr", joined.Addr)
		c.hub.pass(protocol.NameJoin, encodeInfo(*joined))
	}
}

// silence is why a hub is given up that may still be there.
const silence = "silence"

// lose forgets a hub.
func (c *cluster) lose(id string, why string) {
	c.mu.Lock()
	other := c.others[id]
	delete(c.others, id)
	c.hub.node.counters.hubs.Store(int64(len(c.others)))
	if other != nil && why == silence {
		c.silent[id] = time.Now()
	}
	if c.round != nil && why == silence {
		c.round.doubt = true
	}
	c.answered(id)
	var unanswered []*question
	for rid, q := range c.asked {
		if q.hub == id {
			delete(c.asked, rid)
			unanswered = append(unanswered, q)
		}
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.answer(nil)
	}
	if other == nil {
		return
	}
	c.hub.node.opts.Logger.Warn("mesh: another hub is gone", "hub", id, "reason", why)
	if other.info != nil {
		c.hub.pass(protocol.NameLeave, encodeInfo(*other.info))
	}
}

// expire gives up hubs that are silent, and answers that do not come.
func (c *cluster) expire(now time.Time) {
	var silent []string
	var unanswered []*question
	c.mu.Lock()
	maps.DeleteFunc(c.silent, func(_ string, since time.Time) bool { return now.Sub(since) >= fenceTime })
	for id, other := range c.others {
		if now.Sub(other.seen) >= hubTimeout {
			silent = append(silent, id)
		}
	}
	for rid, q := range c.asked {
		if now.Sub(q.asked) >= hubTimeout {
			delete(c.asked, rid)
			unanswered = append(unanswered, q)
		}
	}
	if c.round != nil && now.Sub(c.round.began) >= hubTimeout {
		c.finish() // the question or an answer was lost
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.answer(nil)
	}
	for _, id := range silent {
		c.lose(id, silence)
	}
}

// hubs returns the IDs of the other hubs, in the order in which this one has met them.
func (c *cluster) hubs() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.others))
	for id := range c.others {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return c.others[a].number - c.others[b].number })
	return ids
}

// infos returns what the other hubs have told of themselves, of at most so many as a page has nodes. What they listen to is
// left out: it is old.
func (c *cluster) infos() (all []NodeInfo) {
	hubs := c.hubs()
	if len(hubs) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range hubs[:min(len(hubs), maxPage)] {
		if other := c.others[id]; other != nil && other.info != nil {
			info := *other.info
			info.LastSeen, info.Interests, info.More = stamp(other.seen), []string{}, 0
			all = append(all, info)
		}
	}
	return all
}

// total returns how many nodes the other hubs have, themselves included.
func (c *cluster) total() (n int) {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.others {
		n += other.nodes
	}
	return n
}

// after returns the other hub with the lowest number that is at least n, and its number.
func (c *cluster) after(n int) (id string, number int) {
	if c == nil {
		return "", 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.others {
		if other.number >= n && (number == 0 || other.number < number) {
			id, number = i, other.number
		}
	}
	return id, number
}

// watch has the other hubs tell who comes and goes there, or no more.
func (c *cluster) watch(on bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on == c.watching:
		return
	case on:
		c.member.Subscribe(namePresence)
	default:
		c.member.Unsubscribe(namePresence)
	}
	c.watching = on
}

// tell tells the other hubs that watch that a node has come or gone.
func (c *cluster) tell(event string, info json.RawMessage) {
	if c == nil || !c.met.Load() {
		return
	}
	kind := sayJoin
	if event == protocol.NameLeave {
		kind = sayLeave
	}
	c.say(namePresence, &control{Kind: kind, Node: info}, nil)
}
