package cluster

import (
	"context"
	"maps"
	"slices"
	"time"
)

// round asks all other hubs whether they have processed every earlier message.
type round struct {
	rid     uint64
	version uint64
	claims  claims // that the round publishes
	began   time.Time
	waiting map[string]struct{} // the hubs that have not replied
	doubt   bool                // a hub was given up during the round, and may still be alive
	done    chan struct{}
}

// Sync returns when all other hubs have processed everything that this hub has published or subscribed to, and this hub
// has processed everything that they had published by then. It does not wait for hubs that are gone. It returns false
// if a hub that may be alive has not replied in time.
func (c *Cluster) Sync(ctx context.Context) (sure bool) {
	c.mu.Lock()
	c.version++
	version := c.version
	c.mu.Unlock()
	c.Await(ctx, version)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sure >= version
}

// Await returns when all other hubs know a version, were given up, or have not replied in time. It also returns when
// ctx ends or the cluster is closed.
func (c *Cluster) Await(ctx context.Context, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.known < version && !c.closed && ctx.Err() == nil {
		if c.round == nil {
			c.beginRound()
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

// beginRound asks each of the other hubs separately, in a message to that hub's own subject. When a hub has died, the
// backplane reports that no member subscribes to the subject, and the round does not wait for that hub. The caller
// holds c.mu, and beginRound releases it while it publishes.
func (c *Cluster) beginRound() {
	c.rid++
	r := &round{rid: c.rid, version: c.version, claims: c.claims, began: time.Now(), waiting: make(map[string]struct{}), done: make(chan struct{})}
	c.round, c.claims = r, nil
	for id := range c.others {
		r.waiting[id] = struct{}{}
	}
	silent := slices.Collect(maps.Keys(c.silent))
	hubs := slices.Collect(maps.Keys(r.waiting))
	if len(hubs) == 0 {
		c.finishRound()
	}
	parts := r.claims.conns()
	c.mu.Unlock()
	defer c.mu.Lock()
	for _, part := range parts {
		for _, id := range silent { // a hub that is only stopped gets the claims before the nodes' events
			c.send(subjectHub+id, &control{Kind: kindClaims, Conns: part}, nil)
		}
	}
	for _, id := range hubs {
		question := &control{Kind: kindSync, RID: r.rid}
		for i, part := range parts {
			if question.Conns = part; i < len(parts)-1 {
				c.send(subjectHub+id, &control{Kind: kindClaims, Conns: part}, nil)
			}
		}
		c.send(subjectHub+id, question, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.round == r {
				c.confirm(id)
			}
		})
	}
}

// repeatClaims begins a round for claims that a hub has not confirmed, unless a round is in progress.
func (c *Cluster) repeatClaims() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.round == nil && len(c.claims) > 0 && !c.closed {
		c.beginRound()
	}
}

// finishRound ends the round. The caller holds c.mu.
func (c *Cluster) finishRound() {
	c.known = max(c.known, c.round.version)
	if len(c.round.waiting) == 0 && !c.round.doubt {
		c.sure = max(c.sure, c.round.version)
	} else {
		c.retry(c.round)
	}
	close(c.round.done)
	c.round = nil
}

// confirm records that a hub has replied to the round or is gone. The caller holds c.mu.
func (c *Cluster) confirm(hub string) {
	if c.round == nil {
		return
	}
	delete(c.round.waiting, hub)
	if len(c.round.waiting) == 0 {
		c.finishRound()
	}
}
