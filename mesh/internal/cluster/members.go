package cluster

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// member is a hub's state of another hub.
type member struct {
	number int                // given by this hub; it orders the pages of nodes
	seen   time.Time          // when its last message arrived
	info   *protocol.NodeInfo // nil until it has introduced itself
	nodes  int                // the number of its nodes, including itself
}

// meet notes that another hub is alive, and stores its description of itself if said has one.
func (c *Cluster) meet(id string, said *control) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	other := c.others[id]
	stranger := other == nil
	if stranger {
		delete(c.silent, id)
		c.lastNumber++
		other = &member{number: c.lastNumber, nodes: 1}
		c.others[id] = other
		c.conf.Counters.Hubs.Store(int64(len(c.others)))
		c.met.Store(true)
	}
	other.seen = time.Now()
	var joined *protocol.NodeInfo
	if said != nil {
		if said.Hub != nil {
			said.Hub.ID, said.Hub.Role = id, protocol.RoleHub // a hub can describe only itself
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
	if stranger && (said == nil || said.Kind != kindHello && said.Hub == nil) {
		self := c.conf.Hub.Describe()
		c.send(subjectHub+id, &control{Kind: kindHello, Hub: &self, Claims: true}, nil)
	}
	if said != nil && said.Claims {
		c.fences.know(id)
	}
	if stranger {
		c.sendClaims(id)
	}
	if joined != nil {
		c.conf.Logger.Info("mesh: another hub has joined", "hub", id, "name", joined.Name, "addr", joined.Addr)
		c.conf.Hub.Presence(protocol.NameJoin, wire.EncodeInfo(*joined))
	}
}

// silence is the reason to lose a hub that may still exist.
const silence = "silence"

// lose removes another hub.
func (c *Cluster) lose(id string, why string) {
	c.mu.Lock()
	other := c.others[id]
	delete(c.others, id)
	c.conf.Counters.Hubs.Store(int64(len(c.others)))
	if other != nil && why == silence {
		c.silent[id] = time.Now()
	}
	if c.round != nil && why == silence {
		c.round.doubt = true
	}
	c.confirm(id)
	var unanswered []*pendingCall
	for rid, q := range c.calls {
		if q.hub == id {
			delete(c.calls, rid)
			unanswered = append(unanswered, q)
		}
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.reply(nil)
	}
	if other == nil {
		return
	}
	c.conf.Logger.Warn("mesh: another hub is gone", "hub", id, "reason", why)
	if other.info != nil {
		c.conf.Hub.Presence(protocol.NameLeave, wire.EncodeInfo(*other.info))
	}
}

// expire removes hubs that are silent, and ends questions without a reply.
func (c *Cluster) expire(now time.Time) {
	var silent []string
	var unanswered []*pendingCall
	c.mu.Lock()
	maps.DeleteFunc(c.silent, func(_ string, since time.Time) bool { return now.Sub(since) >= fenceTime })
	for id, other := range c.others {
		if now.Sub(other.seen) >= hubTimeout {
			silent = append(silent, id)
		}
	}
	for rid, q := range c.calls {
		if now.Sub(q.asked) >= hubTimeout {
			delete(c.calls, rid)
			unanswered = append(unanswered, q)
		}
	}
	if c.round != nil && now.Sub(c.round.began) >= hubTimeout {
		c.finishRound() // the question or a reply was lost
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.reply(nil)
	}
	for _, id := range silent {
		c.lose(id, silence)
	}
}

// IDs returns the IDs of the other hubs, in the order in which this hub met them.
func (c *Cluster) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.others))
	for id := range c.others {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return c.others[a].number - c.others[b].number })
	return ids
}

// Infos returns the descriptions of the other hubs, of at most limit. It omits their interests, which may be
// outdated.
func (c *Cluster) Infos(limit int) (all []protocol.NodeInfo) {
	hubs := c.IDs()
	if len(hubs) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range hubs[:min(len(hubs), limit)] {
		if other := c.others[id]; other != nil && other.info != nil {
			info := *other.info
			info.LastSeen, info.Interests, info.More = wire.Stamp(other.seen), []string{}, 0
			all = append(all, info)
		}
	}
	return all
}

// NodeCount returns the number of nodes at the other hubs, including these hubs.
func (c *Cluster) NodeCount() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.others {
		n += other.nodes
	}
	return n
}

// After returns the ID and the number of the other hub with the lowest number that is at least n; 0 if there is no such
// hub.
func (c *Cluster) After(n int) (id string, number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.others {
		if other.number >= n && (number == 0 || other.number < number) {
			id, number = i, other.number
		}
	}
	return id, number
}

// WatchPresence subscribes to the presence changes of the other hubs, or ends that.
func (c *Cluster) WatchPresence(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on == c.watching:
		return
	case on:
		c.backplane.Subscribe(subjectPresence)
	default:
		c.backplane.Unsubscribe(subjectPresence)
	}
	c.watching = on
}

// ReportPresence reports a presence change to the other hubs that watch presence.
func (c *Cluster) ReportPresence(event string, info json.RawMessage) {
	if !c.met.Load() {
		return
	}
	kind := kindJoin
	if event == protocol.NameLeave {
		kind = kindLeave
	}
	c.send(subjectPresence, &control{Kind: kind, Node: info}, nil)
}
