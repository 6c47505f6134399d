package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// crowd is a set of our nodes in this process. All of them emit and subscribe to each other's events, whatever happens
// to their hubs.
type crowd struct {
	t       *testing.T
	start   time.Time
	stop    chan struct{}
	end     func() // stops all emitting
	running sync.WaitGroup

	mu      sync.Mutex
	members []*walker
	news    chan struct{} // closed and replaced at each received event
}

// walker is a node of a crowd. The crowd's mu guards the fields after hub.
type walker struct {
	*mesh.Node
	crowd  *crowd
	number int
	hub    int // number of its hub, or -1 if the hub may change

	emitted []time.Duration   // times since the crowd's start, by event number
	heard   [][]time.Duration // by emitter and event number; 0 for an event that has not come
	doubled int
	late    int           // events that came after a later event of the same emitter
	refused int           // events that Emit rejected
	emit    time.Duration // the slowest Emit
	flush   time.Duration // the slowest Flush
	lost    int           // lost connections
}

const (
	walkEvery = 10 * time.Millisecond
	// emitWithin bounds a call that does not wait, even on a busy machine. flushWithin is the timeout of a Flush.
	emitWithin, flushWithin = 2 * time.Second, 10 * time.Second
)

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, start: time.Now(), stop: make(chan struct{}), news: make(chan struct{})}
	c.end = sync.OnceFunc(func() {
		close(c.stop)
		c.running.Wait()
	})
	t.Cleanup(c.end)
	return c
}

// connect adds a client that connects to one of the addresses. hub is the number of its hub, or -1.
func (c *crowd) connect(addrs string, hub int) {
	c.t.Helper()
	n, err := mesh.Connect(c.t.Context(), &mesh.Options{Addr: addrs, OfflineLimit: 8 << 20})
	require.NoError(c.t, err)
	c.add(n, hub)
}

// add adds a node. Half of the nodes subscribe to another pattern of the same events, so NATS delivers each event twice
// to a hub that has both. Each node also subscribes to a name that no other node has, so that no hub knows this
// subscription before the node arrives.
func (c *crowd) add(n *mesh.Node, hub int) {
	c.t.Helper()
	c.t.Cleanup(func() {
		c.end()
		require.NoError(c.t, n.Close())
	})
	w := &walker{Node: n, crowd: c, number: len(c.members), hub: hub}
	c.members = append(c.members, w)
	n.OnState(func(s mesh.State) {
		if s.Status == mesh.Disconnected && s.Attempt == 0 {
			c.mu.Lock()
			defer c.mu.Unlock()
			w.lost++
		}
	})
	n.On("walk::"+strings.Repeat("*", 1+w.number%2), w.hear)
	n.On(fmt.Sprintf("only::%d", w.number), w.hear)
}

// walk makes all nodes emit, and returns when each node has received an event of each other node.
func (c *crowd) walk() {
	c.t.Helper()
	for _, w := range c.members {
		w.heard = make([][]time.Duration, len(c.members))
	}
	for _, w := range c.members {
		require.NoError(c.t, w.Flush(c.t.Context()))
	}
	for _, w := range c.members {
		c.running.Go(w.walk)
	}
	c.awaitEach(time.Now())
}

func (w *walker) walk() {
	tick := time.NewTicker(walkEvery)
	defer tick.Stop()
	c := w.crowd
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-c.stop:
			return
		}
		began := time.Now()
		c.mu.Lock()
		w.emitted = append(w.emitted, began.Sub(c.start))
		c.mu.Unlock()
		err := w.Emit(fmt.Sprintf("walk::%d", n%5), numbered{w.number, n})
		took := time.Since(began)
		c.mu.Lock()
		w.emit = max(w.emit, took)
		if err != nil {
			w.refused++
		}
		c.mu.Unlock()
	}
}

func (w *walker) hear(e mesh.Event) {
	var p numbered
	if err := e.Decode(&p); err != nil || p.By == w.number {
		return
	}
	c := w.crowd
	now := time.Since(c.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := w.heard[p.By]
	switch {
	case p.N >= len(h):
		h = append(h, make([]time.Duration, p.N+1-len(h))...)
		h[p.N] = now
	case h[p.N] != 0:
		w.doubled++
	default:
		w.late++
		h[p.N] = now
	}
	w.heard[p.By] = h
	close(c.news)
	c.news = make(chan struct{})
}

// await waits until holds returns true. It calls holds with c.mu held.
func (c *crowd) await(what string, holds func() bool) {
	c.t.Helper()
	timer := time.NewTimer(AwaitTimeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		ok, news := holds(), c.news
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-timer.C:
			require.FailNow(c.t, what)
		}
	}
}

// awaitEach waits until every node has received an event from every other node that was emitted after a time.
func (c *crowd) awaitEach(since time.Time) {
	c.t.Helper()
	after := since.Sub(c.start)
	for _, from := range c.members {
		for _, w := range c.members {
			c.await(fmt.Sprintf("node %d at hub %d does not hear %d at hub %d", w.number, w.hub, from.number, from.hub), func() bool {
				n := len(w.heard[from.number])
				return w == from || n > 0 && from.emitted[n-1] > after
			})
		}
	}
}

// fate is the summary of some deliveries.
type fate struct {
	wanted, lost int           // deliveries
	longest      time.Duration // the longest delivery time
}

// count returns the fate of the events that were emitted from one time to another. It counts the deliveries for which
// the function which returns true, or all deliveries if which is nil. The caller holds c.mu.
func (c *crowd) count(from, to time.Time, which func(from, to *walker) bool) (o fate) {
	first, last := from.Sub(c.start), to.Sub(c.start)
	for _, f := range c.members {
		for _, w := range c.members {
			if w == f || which != nil && !which(f, w) {
				continue
			}
			heard := w.heard[f.number]
			for n, at := range f.emitted {
				switch {
				case at < first || at >= last:
					continue
				case n >= len(heard) || heard[n] == 0:
					o.lost++
				default:
					o.longest = max(o.longest, heard[n]-at)
				}
				o.wanted++
			}
		}
	}
	return o
}

// keepFlushing flushes all nodes again and again until stop is called. Each Flush must return when its context ends,
// with or without an error.
func (c *crowd) keepFlushing() (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	for _, w := range c.members {
		running.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(c.t.Context(), flushWithin)
				began := time.Now()
				err := w.Flush(ctx)
				took := time.Since(began)
				cancel()
				if interoptest.Soak {
					assert.Less(c.t, took, flushWithin+emitWithin, "Flush has not returned with its context: %v", err)
				}
				c.mu.Lock()
				w.flush = max(w.flush, took)
				c.mu.Unlock()
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	return func() {
		close(done)
		running.Wait()
	}
}

// Around a fault, only events may be lost that were emitted from faultMargin before the fault until faultMargin after
// the recovery. During faultCalm before and after that time no event may be lost.
const (
	faultMargin = time.Second
	faultCalm   = time.Second
)

// report holds the effects of a fault.
type report struct {
	all, near, far fate          // of the events around the fault: near at one hub, far between hubs
	well           time.Duration // from the end of the fault until each node had received an event of each other node
	lost           int           // lost connections
}

// suffer runs fault while the crowd emits. It checks the conditions that must hold for every fault.
func (c *crowd) suffer(name string, fault func()) (r report) {
	t := c.t
	t.Helper()
	quiet := time.Now()
	time.Sleep(faultCalm + faultMargin)
	began := time.Now()
	calm := c.keepFlushing()
	fault()
	over := time.Now()
	c.awaitEach(over)
	r.well = time.Since(over)
	calm()
	time.Sleep(faultMargin)
	again := time.Now()
	time.Sleep(faultCalm)
	c.end()
	end := time.Now()
	for _, w := range c.members {
		ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
		err := w.Flush(ctx)
		for errors.Is(err, mesh.ErrUnconfirmed) { // for earlier events
			err = w.Flush(ctx)
		}
		cancel()
		require.NoError(t, err)
	}
	c.await("events after the fault are lost", func() bool { return c.count(again, end, nil).lost == 0 })

	c.mu.Lock()
	defer c.mu.Unlock()
	require.Positive(t, c.count(again, end, nil).wanted)
	require.Positive(t, c.count(quiet, began.Add(-faultMargin), nil).wanted)
	require.Zero(t, c.count(quiet, began.Add(-faultMargin), nil).lost, "before the fault")
	isNear := func(from, to *walker) bool { return from.hub == to.hub && from.hub >= 0 }
	from := began.Add(-faultMargin)
	r.all = c.count(from, again, nil)
	r.near = c.count(from, again, isNear)
	r.far = c.count(from, again, func(from, to *walker) bool { return !isNear(from, to) })
	var doubled, late, refused int
	var emit, flush time.Duration
	for _, w := range c.members {
		doubled, late, refused, r.lost = doubled+w.doubled, late+w.late, refused+w.refused, r.lost+w.lost
		emit, flush = max(emit, w.emit), max(flush, w.flush)
	}
	t.Logf("%s, %.1f s: of %d deliveries %d lost (%d of %d at one hub), %d doubled, %d out of order, longest on its way %v (%v at one hub); "+
		"all well %v after it; clients lost %d connections; Emit took %v at most and refused %d, Flush %v",
		name, over.Sub(began).Seconds(), r.all.wanted, r.all.lost, r.near.lost, r.near.wanted, doubled, late, round(r.all.longest),
		round(r.near.longest), round(r.well), r.lost, round(emit), refused, round(flush))
	require.Zero(t, doubled, "events came twice")
	require.Zero(t, late, "events came out of order")
	interoptest.RequireTakes(t, emitWithin, emit, "Emit has waited")
	return r
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
