package mesh

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
	// dozeTime is the longest time without a heartbeat before a hub asks the others. The difference to hubTimeout
	// leaves time for a message.
	dozeTime = hubTimeout - hubPause/2
	// rouseTimeout bounds the time for the questions.
	rouseTimeout = 2 * hubTimeout
	// rousePause is the time between two attempts to ask a hub that cannot be reached yet.
	rousePause = 100 * time.Millisecond
)

// doze records when the hub last published a heartbeat, and whether it is asking the other hubs after a silence.
type doze struct {
	born    time.Time
	said    atomic.Int64                  // time of the last heartbeat, since born
	rousing atomic.Pointer[chan struct{}] // closed when all other hubs have been asked; nil at other times
}

// Attend returns at once if this hub has run lately. Otherwise it returns when the hub has asked the others, or ctx
// ends.
func (c *cluster) Attend(ctx context.Context) {
	if c.Alone() {
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

// rouse records that the hub runs. If the hub has not run for some time, rouse asks the other hubs.
func (c *cluster) rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.doze.born)
	gap := now - time.Duration(c.doze.said.Load())
	if gap >= dozeTime && len(c.others) > 0 && !c.closed && c.doze.rousing.Load() == nil {
		c.excuse(gap)
		done := make(chan struct{})
		c.doze.rousing.Store(&done)
		c.conf.Logger.Warn("mesh: this hub did not run for some time: it asks the other hubs which of its nodes are connected to them", "time", gap)
		c.wg.Go(func() {
			defer close(done)
			defer c.doze.rousing.Store(nil)
			c.askAll(c.IDs())
		})
	}
	c.doze.said.Store(int64(now)) // last, because attend looks at it first
}

// excuse makes sure that a gap in which this hub did not run does not count as silence of the others. The caller holds
// c.mu.
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

// askAll returns when these hubs have replied or are gone, or after rouseTimeout.
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
				if answered || !limit.Wait(ctx, rousePause) {
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
func (c *cluster) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.others[id] != nil
}
