package mesh

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

// cluster connects a hub to the other hubs of its mesh, and holds their state. It is the hub's Others.
//
// docs/cluster.md describes the messages between hubs. The goroutine that runs receive processes them one at a time.
// The messages of each hub arrive in the order in which it sent them.
type cluster struct {
	conf   clusterConfig
	member backplaneMember // fixed once the hub has joined
	met    atomic.Bool     // whether there ever was another hub

	events      []wire.Event   // used by receive only
	unsharedLog limit.Throttle // limits the log lines about events that were not sent to other hubs
	fences      fences
	doze        doze

	mu       sync.Mutex
	closed   bool
	wanted   map[string]want
	version  uint64               // counts the subscriptions, claims and syncs that all hubs must know
	known    uint64               // the last version that all others know, apart from hubs that were given up
	sure     uint64               // the last version that all others know without exception
	round    *round               // the current round; nil between rounds
	others   map[string]*otherHub // by ID
	numbered int                  // the last number given to another hub
	silent   map[string]time.Time // other hubs that were given up, by ID, with the time of that
	claims   claims               // for the next round to publish
	asked    map[uint64]*question // open questions, by rid
	rid      uint64               // of the last question
	watching bool                 // subscribed to joins and leaves at other hubs
	quiet    chan struct{}        // closed when it is known that there are no other hubs; nil if no goroutine waits for that

	stop chan struct{}
	wg   sync.WaitGroup
}

// want is a name or pattern that this hub has subscribed to.
type want struct {
	count   int    // peers and listeners of this hub that want it
	version uint64 // the version that added the subscription
}

// The names under which hubs publish to each other.
const (
	nameHubs     = "$hubs"     // to all hubs
	nameHub      = "$hub-"     // with an ID appended: to one hub
	namePresence = "$presence" // to the hubs that watch joins and leaves
)

const (
	// hubPause is the time between two heartbeats. After hubTimeout without a message a hub counts as gone.
	hubPause   = time.Second
	hubTimeout = 3 * time.Second
	// settleTimeout bounds how long a joining hub waits for the other hubs to introduce themselves.
	settleTimeout = 250 * time.Millisecond
	// maxAsked bounds the open questions to other hubs.
	maxAsked = 4096
)

// The kinds of messages between hubs. The first byte of a message is its kind.
const (
	kindEvents  = 'e' // a frame of events
	kindControl = 'c' // a control, as JSON
)

// control is every message between hubs other than events. A hub ignores JSON members that it does not know, so that
// hubs of different versions can share a mesh.
type control struct {
	Kind string `json:"kind"`
	RID  uint64 `json:"rid,omitempty"`

	Hub   *protocol.NodeInfo `json:"hub,omitempty"`   // of hello and here: the sender
	Count int                `json:"count,omitempty"` // the number of nodes at the sender
	// Claims is true if the sender claims nodes.
	Claims bool `json:"claims,omitempty"`

	// Of nodes: the start, the limit and the reply.
	After int               `json:"after,omitempty"`
	Limit int               `json:"limit,omitempty"`
	Nodes []json.RawMessage `json:"nodes,omitempty"`
	Next  int               `json:"next,omitempty"`
	wire.NodeFilter

	Groups []wire.NodeGroup `json:"groups,omitempty"` // of groups: the reply, where Count is the number of ungrouped nodes

	// Of explain and emitter: the question, the rule that is already known to stop the emitter, and the reply.
	From    string                `json:"from,omitempty"`
	To      string                `json:"to,omitempty"`
	Event   string                `json:"event,omitempty"`
	Rule    protocol.Rule         `json:"rule,omitempty"`
	Verdict *protocol.Explanation `json:"verdict,omitempty"`

	Node json.RawMessage `json:"node,omitempty"` // of join and leave: a protocol.NodeInfo

	// Of claims and sync: nodes that have reconnected, with the numbers of their connections. See claims.go.
	Conns map[string]uint64 `json:"conns,omitempty"`
}

// The kinds of control. A reply (sayAnswer) has the rid of its question.
const (
	sayHello   = "hello"   // the sender has joined; the receivers introduce themselves
	sayHere    = "here"    // the sender is alive
	sayBye     = "bye"     // the sender leaves
	askSync    = "sync"    // have you processed all my earlier messages?
	askNodes   = "nodes"   // which nodes do you have?
	askGroups  = "groups"  // which groups of nodes do you have?
	askExplain = "explain" // does your node To receive Event from From?
	askEmitter = "emitter" // may your node From emit Event?
	sayJoin    = "join"    // a node has joined at the sender
	sayLeave   = "leave"   // a node has left the sender
	sayClaims  = "claims"  // these nodes have reconnected, and emit at the sender
	sayAnswer  = "answer"
)

// newCluster returns the cluster of a hub. The hub uses it before join connects it.
func newCluster(conf clusterConfig) *cluster {
	c := &cluster{
		conf:   conf,
		wanted: make(map[string]want),
		others: make(map[string]*otherHub),
		silent: make(map[string]time.Time),
		asked:  make(map[uint64]*question),
		quiet:  make(chan struct{}),
		stop:   make(chan struct{}),
	}
	c.doze.born = time.Now()
	return c
}

// join joins the hub to the others. connect makes it a member of the backplane, which calls receive. join returns when
// the other hubs know the hub, after settleTimeout, or when ctx ends.
func (c *cluster) join(ctx context.Context, connect func(receive func(from string, data []byte)) (backplaneMember, error)) (err error) {
	if c.member, err = connect(c.receive); err != nil {
		return err
	}
	c.member.Subscribe(nameHubs, nameHub+c.conf.ID)
	c.conf.Hub.Announce()
	c.wg.Go(c.live)
	alone := sync.OnceFunc(func() { close(c.quiet) })
	self := c.conf.Hub.Describe()
	c.say(nameHubs, &control{Kind: sayHello, Hub: &self, Claims: true}, alone)
	settled := time.NewTimer(settleTimeout)
	defer settled.Stop()
	select {
	case <-c.quiet:
	case <-settled.C:
	case <-ctx.Done():
	}
	return nil
}

// live publishes heartbeats, and gives up hubs that are silent.
func (c *cluster) live() {
	tick := time.NewTicker(hubPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.rouse()
			c.say(nameHubs, &control{Kind: sayHere, Count: c.conf.Hub.Count(), Claims: true}, nil)
			c.expire(time.Now())
			c.fences.expire(time.Now())
			c.repeat()
		case <-c.stop:
			return
		}
	}
}

// Close leaves the mesh of hubs.
func (c *cluster) Close() {
	c.mu.Lock()
	c.closed = true
	asked := c.asked
	c.asked = make(map[uint64]*question)
	if c.round != nil {
		c.finish()
	}
	c.mu.Unlock()
	for _, q := range asked {
		q.answer(nil)
	}
	close(c.stop)
	c.wg.Wait()
	c.say(nameHubs, &control{Kind: sayBye}, nil)
	_ = c.member.Close() // messages that are still unsent are lost
}

// say publishes a control. A control that cannot be sent counts as lost on the way, and every question allows for that.
func (c *cluster) say(name string, m *control, unheard func()) {
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // it holds only strings, numbers, times and checked JSON
	}
	if err := c.member.Publish(name, append([]byte{kindControl}, body...), unheard); err != nil {
		c.conf.Counters.HubsDropped.Add(1)
	}
}

// receive processes a message of another hub. The backplane calls it.
func (c *cluster) receive(from string, data []byte) {
	if len(data) == 0 || len(from) > protocol.MaxID {
		c.conf.Counters.Malformed.Add(1)
		return
	}
	switch data[0] {
	case kindEvents:
		c.meet(from, nil)
		c.receiveEvents(from, data[1:])
	case kindControl:
		var m control
		if json.Unmarshal(data[1:], &m) != nil {
			c.conf.Counters.Malformed.Add(1)
			return
		}
		if m.Kind != sayBye {
			c.meet(from, &m)
		}
		c.receiveControl(from, &m)
	default:
		c.conf.Counters.Malformed.Add(1) // perhaps from a later version
	}
}

// receiveEvents routes events of one emitter at another hub. That hub has checked that the emitter may emit them. This
// hub checks that its peers may receive them.
func (c *cluster) receiveEvents(from string, frame []byte) {
	count := c.conf.Counters
	events, malformed := readFrame(c.events[:0], frame)
	defer clear(events)
	c.events = events
	count.Malformed.Add(uint64(malformed))
	if len(events) == 0 {
		return
	}
	c.fences.mu.Lock()
	defer c.fences.mu.Unlock()
	if !c.fences.passes(events[0].From, from) {
		count.Late.Add(uint64(len(events)))
		return
	}
	c.conf.Hub.Receive(events, from)
	count.HubsIn.Add(uint64(len(events)))
	count.HubsBytesIn.Add(uint64(len(frame)))
}

// Alone reports whether there is no hub to publish to: there never was another hub, and the backplane is connected, so
// another hub would be known.
func (c *cluster) Alone() bool { return !c.met.Load() && c.member.Err() == nil }

// Publish sends events of one name and emitter to the other hubs that subscribe to them.
func (c *cluster) Publish(events []wire.Event, unheard func(), unsent func(error)) {
	if c.Alone() {
		if unheard != nil {
			unheard()
		}
		return
	}
	for len(events) > 0 {
		frame, n := newFrame(events)
		count := c.conf.Counters
		size := len(frame)
		if err := c.member.Publish(events[0].Name, frame, unheard); err != nil {
			count.HubsDropped.Add(uint64(n))
			if unsent != nil {
				unsent(err)
			}
			if times := c.unsharedLog.Allow(); times > 0 {
				c.conf.Logger.Error("mesh: events were not sent to other hubs", "event", events[0].Name, "error", err, "times", times)
			}
		} else {
			count.HubsOut.Add(uint64(n))
			count.HubsBytesOut.Add(uint64(size))
		}
		events = events[n:]
	}
}

// Subscribe counts names and patterns that peers or listeners of this hub subscribe to or unsubscribe from. The result is
// the argument for await.
func (c *cluster) Subscribe(add, remove []string) (version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first, last []string
	for _, name := range add {
		w := c.wanted[name]
		if w.count++; w.count == 1 {
			first = append(first, name)
			w.version = c.version + 1
		}
		version = max(version, w.version)
		c.wanted[name] = w
	}
	for _, name := range remove {
		w := c.wanted[name]
		if w.count--; w.count == 0 {
			last = append(last, name)
			delete(c.wanted, name)
		} else {
			c.wanted[name] = w
		}
	}
	if len(first) > 0 {
		c.version++
		c.member.Subscribe(first...)
	}
	if len(last) > 0 {
		c.member.Unsubscribe(last...)
	}
	return version
}

func (c *cluster) receiveControl(from string, m *control) {
	switch m.Kind {
	case sayHello:
		self := c.conf.Hub.Describe()
		c.say(nameHub+from, &control{Kind: sayHere, Hub: &self, Count: c.conf.Hub.Count(), Claims: true}, nil)
	case sayHere: // meet has processed it
	case sayBye:
		c.lose(from, "closed")
	case sayClaims:
		c.receiveClaims(from, m.Conns)
	case askSync, askNodes, askGroups, askExplain, askEmitter:
		if len(m.Conns) > 0 {
			c.receiveClaims(from, m.Conns)
			c.answerClaims(from, m.RID)
			return
		}
		a := c.answer(m)
		a.Kind, a.RID = sayAnswer, m.RID
		c.say(nameHub+from, a, nil)
	case sayAnswer:
		c.receiveAnswer(from, m)
	case sayJoin, sayLeave:
		var info protocol.NodeInfo
		if json.Unmarshal(m.Node, &info) != nil {
			c.conf.Counters.Malformed.Add(1)
			return
		}
		info.Hub = from
		event := protocol.NameJoin
		if m.Kind == sayLeave {
			event = protocol.NameLeave
		}
		c.conf.Hub.Presence(event, encodeInfo(info))
	default: // perhaps from a later version
	}
}

// Err returns the reason why the other hubs cannot be reached, or nil.
func (c *cluster) Err() error { return c.member.Err() }
