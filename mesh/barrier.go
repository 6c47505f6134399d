package mesh

import (
	"context"
	"maps"
	"slices"
	"time"
)

// round asks all other hubs whether they have dealt with everything that came before.
type round struct {
	rid     uint64
	version uint64
	began   time.Time
	waiting map[string]struct{} // the hubs that have not answered
	doubt   bool                // one of them was given up, and may be there
	done    chan struct{}
}

// sync returns when all other hubs have dealt with everything that this one has published or subscribed to, and this one
// with everything that they had published by then. Hubs that are gone are not waited for. It returns false if one of them is
// there, but has not answered in time.
func (c *cluster) sync(ctx context.Context) (sure bool) {
	if c == nil {
		return true
	}
	c.mu.Lock()
	c.version++
	version := c.version
	c.mu.Unlock()
	c.await(ctx, version)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sure >= version
}

// await returns when all other hubs know a version.
func (c *cluster) await(ctx context.Context, version uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.known < version && !c.closed && ctx.Err() == nil {
		if c.round == nil {
			c.begin()
			continue
		}
		done := c.round.done
		c.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

// begin asks the other hubs, each by itself: one that died has nobody who listens to its name, and is not waited for. The
// caller holds c.mu, which is free meanwhile.
func (c *cluster) begin() {
	c.rid++
	r := &round{rid: c.rid, version: c.version, began: time.Now(), waiting: make(map[string]struct{}), done: make(chan struct{})}
	c.round = r
	for id := range c.others {
		r.waiting[id] = struct{}{}
	}
	if len(r.waiting) == 0 {
		c.finish()
		return
	}
	hubs := slices.Collect(maps.Keys(r.waiting))
	c.mu.Unlock()
	defer c.mu.Lock()
	for _, id := range hubs {
		c.say(nameHub+id, &control{Kind: askSync, RID: r.rid}, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.round == r {
				c.answered(id)
			}
		})
	}
}

// finish ends the round. The caller holds c.mu.
func (c *cluster) finish() {
	c.known = max(c.known, c.round.version)
	if len(c.round.waiting) == 0 && !c.round.doubt {
		c.sure = max(c.sure, c.round.version)
	}
	close(c.round.done)
	c.round = nil
}

// answered takes note of a hub's answer to the round, or of its end. The caller holds c.mu.
func (c *cluster) answered(hub string) {
	if c.round == nil {
		return
	}
	delete(c.round.waiting, hub)
	if len(c.round.waiting) == 0 {
		c.finish()
	}
}
