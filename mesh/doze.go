package mesh

import (
	"context"
	"sync/atomic"
	"time"
)

// A hub that did not run for some seconds, because its process or its machine was stopped, may have been given up by the
// others. It does not know which of its nodes are elsewhere by now, and must not route the bytes that it still has of them. So it
// asks the other hubs first. As each of them tells a hub that it meets again which nodes it has, before it answers, the hub
// then knows. Until then its sessions wait.

const (
	// dozeTime is how long a hub may have said nothing before it asks. It is less than hubTimeout by more than a message takes.
	dozeTime = hubTimeout - hubPause/2
	// rouseTimeout bounds how long it asks.
	rouseTimeout = 2 * hubTimeout
	// rousePause is the time between two attempts to ask a hub that is not in reach yet.
	rousePause = 100 * time.Millisecond
)

// doze is when a hub has last said that it lives, and whether it is asking the others after it has not.
type doze struct {
	born    time.Time
	said    atomic.Int64                  // since born
	rousing atomic.Pointer[chan struct{}] // closed when all others were asked; nil unless that is under way
}

// attend returns at once if this hub has run lately. Otherwise it returns when the hub has asked the others, or ctx ends.
func (c *cluster) attend(ctx context.Context) {
	if c == nil || c.alone() {
		return
	}
	if time.Since(c.doze.born)-time.Duration(c.doze.said.Load()) >= dozeTime {
		c.rouse()
	}
	if done := c.doze.rousing.Load(); done != nil {
		select {
		case <-*done:
		case <-ctx.Done():
		}
	}
}

// rouse notes that the hub runs. If it has not for some time, it asks the others.
func (c *cluster) rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.doze.born)
	gap := now - time.Duration(c.doze.said.Load())
	if gap >= dozeTime && len(c.others) > 0 && !c.closed && c.doze.rousing.Load() == nil {
		c.excuse(gap)
		done := make(chan struct{})
		c.doze.rousing.Store(&done)
		c.hub.node.opts.Logger.Warn("mesh: this hub did not run for some time: it asks the other hubs which of its nodes they have", "time", gap)
		c.wg.Go(func() {
			defer close(done)
			defer c.doze.rousing.Store(nil)
			c.askAll(c.hubs())
		})
	}
	c.doze.said.Store(int64(now)) // last, as attend looks at it first
}

// excuse has the time in which this hub did not run not count as silence of the others. The caller holds c.mu.
func (c *cluster) excuse(gap time.Duration) {
	for _, other := range c.others {
		other.seen = other.seen.Add(gap)
	}
	for _, q := range c.asked {
		q.asked = q.asked.Add(gap)
	}
	if c.round != nil {
		c.round.began = c.round.began.Add(gap)
	}
}

// askAll returns when these hubs have answered, or are gone, or rouseTimeout has passed.
func (c *cluster) askAll(hubs []string) {
	ctx, cancel := context.WithTimeout(context.Background(), rouseTimeout)
	defer cancel()
	answers := make(chan bool, 1)
	for _, id := range hubs {
	asking:
		for c.has(id) {
			c.ask(id, control{Kind: askSync}, func(a *control) { answers <- a != nil })
			select {
			case answered := <-answers:
				if answered || !pause(ctx, rousePause) {
					break asking
				}
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// has tells whether another hub is known, and this hub is not closed.
func (c *cluster) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.others[id] != nil
}
