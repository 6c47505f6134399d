package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Cluster connects a hub to the other hubs of its mesh, and holds their state. It is the hub's Others.
//
// docs/cluster.md describes the messages between hubs. The goroutine that runs receive processes them one at a time.
// The messages of each hub arrive in the order in which it sent them.
type Cluster struct {
	conf      Config
	backplane Member      // fixed once the hub has joined
	met       atomic.Bool // whether there ever was another hub

	events      []wire.Event   // used by receive only
	unsharedLog limit.Throttle // limits the log lines about events that were not sent to other hubs
	fences      fences
	stall       stall

	mu            sync.Mutex
	closed        bool
	subscriptions map[string]subscription
	version       uint64                  // counts the subscriptions, claims and syncs that all hubs must know
	known         uint64                  // the last version whose round has ended, though some hubs may not have replied
	sure          uint64                  // the last version that all others know without exception
	round         *round                  // the current round; nil between rounds
	others        map[string]*member      // by ID
	lastNumber    int                     // the last number given to another hub
	silent        map[string]time.Time    // other hubs that were given up, by ID, with the time of that
	claims        claims                  // for the next round to publish
	calls         map[uint64]*pendingCall // open questions, by rid
	rid           uint64                  // of the last question
	watching      bool                    // subscribed to joins and leaves at other hubs
	quiet         chan struct{}           // closed when the backplane reports that there is no other hub

	stop chan struct{}
	wg   sync.WaitGroup
}

// subscription is a name or pattern that this hub has subscribed to.
type subscription struct {
	count   int    // peers and listeners of this hub that want it
	version uint64 // the version that added the subscription
}

const (
	// hubPause is the time between two heartbeats. After hubTimeout without a message a hub counts as gone.
	hubPause   = time.Second
	hubTimeout = 3 * time.Second
	// introTimeout is how long a joining hub waits for the other hubs to introduce themselves, if there are any.
	introTimeout = 250 * time.Millisecond
	// maxCalls bounds the open questions to other hubs.
	maxCalls = 4096
)

// New returns the cluster of a hub. The hub may call it when Join has connected it to the backplane.
func New(conf Config) *Cluster {
	c := &Cluster{
		conf:          conf,
		subscriptions: make(map[string]subscription),
		others:        make(map[string]*member),
		silent:        make(map[string]time.Time),
		calls:         make(map[uint64]*pendingCall),
		quiet:         make(chan struct{}),
		stop:          make(chan struct{}),
	}
	c.stall.born = time.Now()
	return c
}

// Join joins the hub to the others. connect makes it a member of the backplane, which calls receive. Join returns when
// the backplane reports that there is no other hub, after introTimeout, or when ctx ends.
func (c *Cluster) Join(ctx context.Context, connect func(receive func(from string, data []byte)) (Member, error)) (err error) {
	if c.backplane, err = connect(c.receive); err != nil {
		return err
	}
	c.backplane.Subscribe(subjectAll, subjectHub+c.conf.ID)
	c.conf.Hub.Announce()
	c.wg.Go(c.live)
	alone := sync.OnceFunc(func() { close(c.quiet) })
	self := c.conf.Hub.Describe()
	c.send(subjectAll, &control{Kind: kindHello, Hub: &self, Claims: true}, alone)
	intro := time.NewTimer(introTimeout)
	defer intro.Stop()
	select {
	case <-c.quiet:
	case <-intro.C:
	case <-ctx.Done():
	}
	return nil
}

// live publishes heartbeats, and gives up hubs that are silent.
func (c *Cluster) live() {
	tick := time.NewTicker(hubPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.checkStall()
			c.send(subjectAll, &control{Kind: kindHere, Count: c.conf.Hub.Count(), Claims: true}, nil)
			c.expire(time.Now())
			c.fences.expire(time.Now())
			c.repeatClaims()
		case <-c.stop:
			return
		}
	}
}

// Close leaves the mesh of hubs.
func (c *Cluster) Close() {
	c.mu.Lock()
	c.closed = true
	asked := c.calls
	c.calls = make(map[uint64]*pendingCall)
	if c.round != nil {
		c.finishRound()
	}
	c.mu.Unlock()
	for _, q := range asked {
		q.reply(nil)
	}
	close(c.stop)
	c.wg.Wait()
	c.send(subjectAll, &control{Kind: kindBye}, nil)
	_ = c.backplane.Close() // messages that are still unsent are lost
}

// receive processes a message of another hub. The backplane calls it.
func (c *Cluster) receive(from string, data []byte) {
	if len(data) == 0 || len(from) > protocol.MaxID {
		c.conf.Counters.Malformed.Add(1)
		return
	}
	switch data[0] {
	case frameEvents:
		c.meet(from, nil)
		c.receiveEvents(from, data[1:])
	case frameControl:
		var m control
		if json.Unmarshal(data[1:], &m) != nil {
			c.conf.Counters.Malformed.Add(1)
			return
		}
		if m.Kind != kindBye {
			c.meet(from, &m)
		}
		c.receiveControl(from, &m)
	default:
		c.conf.Counters.Malformed.Add(1) // perhaps from a later version
	}
}

// receiveEvents routes events of one emitter at another hub. That hub has checked that the emitter may emit them. This
// hub checks that its peers may receive them.
func (c *Cluster) receiveEvents(from string, frame []byte) {
	counters := c.conf.Counters
	events, malformed := readFrame(c.events[:0], frame)
	defer clear(events)
	c.events = events
	counters.Malformed.Add(uint64(malformed))
	if len(events) == 0 {
		return
	}
	c.fences.mu.Lock()
	defer c.fences.mu.Unlock()
	if !c.fences.passes(events[0].From, from) {
		counters.Late.Add(uint64(len(events)))
		return
	}
	c.conf.Hub.Receive(events, from)
	counters.HubsIn.Add(uint64(len(events)))
	counters.HubsBytesIn.Add(uint64(len(frame)))
}

// Alone reports whether there is no hub to publish to: there never was another hub, and the backplane is connected, so
// another hub would be known.
func (c *Cluster) Alone() bool { return !c.met.Load() && c.backplane.Err() == nil }

// Publish sends events of one name and emitter to the other hubs that subscribe to them.
func (c *Cluster) Publish(events []wire.Event, unheard func(), unsent func(error)) {
	if c.Alone() {
		if unheard != nil {
			unheard()
		}
		return
	}
	for len(events) > 0 {
		frame, n := newFrame(events)
		counters := c.conf.Counters
		size := len(frame)
		if err := c.backplane.Publish(events[0].Name, frame, unheard); err != nil {
			counters.HubsDropped.Add(uint64(n))
			if unsent != nil {
				unsent(err)
			}
			if times := c.unsharedLog.Allow(); times > 0 {
				c.conf.Logger.Error("mesh: events were not sent to other hubs", "event", events[0].Name, "error", err, "times", times)
			}
		} else {
			counters.HubsOut.Add(uint64(n))
			counters.HubsBytesOut.Add(uint64(size))
		}
		events = events[n:]
	}
}

// Subscribe counts names and patterns that peers or listeners of this hub subscribe to or unsubscribe from. The result
// is the argument for Await.
func (c *Cluster) Subscribe(add, remove []string) (version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first, last []string
	for _, name := range add {
		s := c.subscriptions[name]
		if s.count++; s.count == 1 {
			first = append(first, name)
			s.version = c.version + 1
		}
		version = max(version, s.version)
		c.subscriptions[name] = s
	}
	for _, name := range remove {
		s := c.subscriptions[name]
		if s.count--; s.count == 0 {
			last = append(last, name)
			delete(c.subscriptions, name)
		} else {
			c.subscriptions[name] = s
		}
	}
	if len(first) > 0 {
		c.version++
		c.backplane.Subscribe(first...)
	}
	if len(last) > 0 {
		c.backplane.Unsubscribe(last...)
	}
	return version
}

// Err returns the reason why the other hubs cannot be reached, or nil.
func (c *Cluster) Err() error { return c.backplane.Err() }
