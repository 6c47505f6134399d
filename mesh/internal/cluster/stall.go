package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/limit"
)

// A hub may not run for some seconds, because its process or its machine was stopped. The other hubs may then have
// given it up, and nodes of this hub may have reconnected to them. The hub does not know these nodes, and must not
// route bytes that it still has of them. So the hub first asks the other hubs. Each hub that meets this hub again
// reports the nodes that it has, and replies to the question after that. Until all hubs have replied, the sessions of
// this hub wait.

const (
	// stallTime is the longest time without a heartbeat before a hub asks the others. The difference to hubTimeout
	// leaves time for a message.
	stallTime = hubTimeout - hubPause/2
	// askTimeout bounds the time for the questions.
	askTimeout = 2 * hubTimeout
	// askPause is the time between two attempts to ask a hub that cannot be reached yet.
	askPause = 100 * time.Millisecond
)

// stall records when the hub last published a heartbeat, and whether it is asking the other hubs after a silence.
type stall struct {
	born   time.Time
	beat   atomic.Int64                  // time of the last heartbeat, since born
	asking atomic.Pointer[chan struct{}] // closed when all other hubs have been asked; nil at other times
}

// Attend returns at once if this hub has run lately. Otherwise it returns when the hub has asked the others, or ctx
// ends.
func (c *Cluster) Attend(ctx context.Context) {
	if c.Alone() {
		return
	}
	if time.Since(c.stall.born)-time.Duration(c.stall.beat.Load()) >= stallTime {
		c.checkStall()
	}
	if done := c.stall.asking.Load(); done != nil {
		select {
		case <-*done:
		case <-ctx.Done():
		}
	}
}

// checkStall records that the hub runs. If the hub has not run for some time, checkStall asks the other hubs.
func (c *Cluster) checkStall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.stall.born)
	gap := now - time.Duration(c.stall.beat.Load())
	if gap >= stallTime && len(c.others) > 0 && !c.closed && c.stall.asking.Load() == nil {
		c.extendDeadlines(gap)
		done := make(chan struct{})
		c.stall.asking.Store(&done)
		c.conf.Logger.Warn("mesh: this hub did not run for some time: it asks the other hubs which of its nodes are connected to them", "time", gap)
		c.wg.Go(func() {
			defer close(done)
			defer c.stall.asking.Store(nil)
			c.askAll(c.IDs())
		})
	}
	c.stall.beat.Store(int64(now)) // last, because Attend looks at it first
}

// extendDeadlines makes sure that a gap in which this hub did not run does not count as silence of the others. The
// caller holds c.mu.
func (c *Cluster) extendDeadlines(gap time.Duration) {
	for _, other := range c.others {
		other.seen = other.seen.Add(gap)
	}
	for _, q := range c.calls {
		q.asked = q.asked.Add(gap)
	}
	if c.round != nil {
		c.round.began = c.round.began.Add(gap)
	}
}

// askAll returns when these hubs have replied or are gone, or after askTimeout.
func (c *Cluster) askAll(hubs []string) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	answers := make(chan bool, 1)
	for _, id := range hubs {
	asking:
		for c.has(id) {
			c.call(id, control{Kind: kindSync}, func(a *control) { answers <- a != nil })
			select {
			case answered := <-answers:
				if answered || !limit.Wait(ctx, askPause) {
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

// has reports whether another hub is known and this hub is not closed.
func (c *Cluster) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.others[id] != nil
}
