package mesh

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// cluster is a hub's way to the other hubs of its mesh, and what it knows of them. A hub without Options.Backplane has
// none: nil, whose methods do nothing.
//
// What hubs say to each other stands in docs/cluster.md. It comes on one goroutine, receive, in the order in which each
// of them has said it.
type cluster struct {
	hub    *hub
	member BackplaneMember // fixed once the hub has joined
	met    atomic.Bool     // there was another hub, ever

	own       sync.Mutex
	interests []string // of this hub's own listeners, sorted; guarded by own

	events []routed // of receive
	fences fences
	doze   doze

	mu       sync.Mutex
	closed   bool
	wanted   map[string]want
	version  uint64               // counts what was subscribed and what wants to be known by all
	known    uint64               // the version that all others know, or have been given up for
	sure     uint64               // the version that all others know
	round    *round               // that is under way; nil if none is
	others   map[string]*otherHub // by ID
	numbered int                  // the last number that was given to one of them
	silent   map[string]time.Time // others that were given up, by ID, and when
	claims   claims               // that the next round tells
	asked    map[uint64]*question // by rid
	rid      uint64               // the last one
	watching bool                 // it hears who comes and goes at the others
	quiet    chan struct{}        // closed when it is known that there are no others; nil if nobody waits for that

	stop chan struct{}
	wg   sync.WaitGroup
}

// want is a name or pattern that this hub has subscribed to.
type want struct {
	count   int    // of those here who want it
	version uint64 // since which it is subscribed
}

// The names that hubs use among themselves.
const (
	nameHubs     = "$hubs"     // to all
	nameHub      = "$hub-"     // and an ID: to one
	namePresence = "$presence" // to those who watch who comes and goes
)

const (
	// hubPause is the time between two signs of life, hubTimeout the silence after which a hub is taken for gone.
	hubPause   = time.Second
	hubTimeout = 3 * time.Second
	// settleTimeout bounds how long a hub that joins others waits for them to introduce themselves.
	settleTimeout = 250 * time.Millisecond
	// maxAsked bounds the questions that wait for answers.
	maxAsked = 4096
)

// What a message is, by its first byte.
const (
	kindEvents  = 'e' // a frame
	kindControl = 'c' // JSON, a control
)

// control is what hubs say to each other besides events. Members that it does not have are ignored, so that versions can
// be mixed.
type control struct {
	Kind string `json:"kind"`
	RID  uint64 `json:"rid,omitempty"`

	Hub   *NodeInfo `json:"hub,omitempty"`   // of hello and here: who says so
	Count int       `json:"count,omitempty"` // the nodes of who says so
	// Claims is true if the hub that says so claims nodes.
	Claims bool `json:"claims,omitempty"`

	// Of nodes: from where on, how many, and the answer.
	After int               `json:"after,omitempty"`
	Limit int               `json:"limit,omitempty"`
	Nodes []json.RawMessage `json:"nodes,omitempty"`
	Next  int               `json:"next,omitempty"`
	nodeFilter

	Groups []nodeGroup `json:"groups,omitempty"` // of groups: the answer, where Count is the number of nodes in none

	// Of explain and emitter: the question, what is known of the emitter already, and the answer.
	From    string       `json:"from,omitempty"`
	To      string       `json:"to,omitempty"`
	Event   string       `json:"event,omitempty"`
	Rule    Rule         `json:"rule,omitempty"`
	Verdict *Explanation `json:"verdict,omitempty"`

	Node json.RawMessage `json:"node,omitempty"` // of join and leave: a NodeInfo

	// Of claims and sync: nodes that are back, with the numbers of their connections. See claims.go.
	Conns map[string]uint64 `json:"conns,omitempty"`
}

// The kinds of control. An answer has its question's rid.
const (
	sayHello   = "hello"   // I have come: who are you?
	sayHere    = "here"    // I am there
	sayBye     = "bye"     // I am going
	askSync    = "sync"    // have you dealt with all that I said before?
	askNodes   = "nodes"   // which nodes do you have?
	askGroups  = "groups"  // which groups of nodes do you have?
	askExplain = "explain" // would your node To get Event of From?
	askEmitter = "emitter" // may your node From emit Event?
	sayJoin    = "join"    // a node has come to me
	sayLeave   = "leave"   // a node has left me
	sayClaims  = "claims"  // these nodes are back, and emit at me
	sayAnswer  = "answer"
)

// joinOthers makes a hub part of a mesh of several, if its options say so. It returns when the others know it.
func (h *hub) joinOthers(ctx context.Context) error {
	backplane := h.node.opts.Backplane
	if backplane == nil {
		return nil
	}
	c := &cluster{
		hub:    h,
		wanted: make(map[string]want),
		others: make(map[string]*otherHub),
		silent: make(map[string]time.Time),
		asked:  make(map[uint64]*question),
		quiet:  make(chan struct{}),
		stop:   make(chan struct{}),
	}
	c.doze.born = time.Now()
	var err error
	if c.member, err = backplane.Join(h.node.id, c.receive); err != nil {
		return err
	}
	h.cluster = c
	c.member.Subscribe(nameHubs, nameHub+h.node.id)
	h.announce()
	c.wg.Go(c.live)
	alone := sync.OnceFunc(func() { close(c.quiet) })
	self := h.describeSelf()
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

// live says that this hub lives, and notices who does not.
func (c *cluster) live() {
	tick := time.NewTicker(hubPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.rouse()
			c.say(nameHubs, &control{Kind: sayHere, Count: c.hub.roster.count(), Claims: true}, nil)
			c.expire(time.Now())
			c.fences.expire(time.Now())
			c.repeat()
		case <-c.stop:
			return
		}
	}
}

// close leaves the other hubs.
func (c *cluster) close() {
	if c == nil {
		return
	}
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
	_ = c.member.Close() // what it could not send is lost with it
}

// say publishes a control. What cannot be sent is as good as lost on the way, which each question reckons with.
func (c *cluster) say(name string, m *control, unheard func()) {
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings, numbers and times, and JSON that was checked
	}
	if err := c.member.Publish(name, append([]byte{kindControl}, body...), unheard); err != nil {
		c.hub.node.counters.hubsDropped.Add(1)
	}
}

// receive gets what another hub has published. It is the backplane's to call.
func (c *cluster) receive(from string, data []byte) {
	if len(data) == 0 || len(from) > protocol.MaxID {
		c.hub.node.counters.malformed.Add(1)
		return
	}
	switch data[0] {
	case kindEvents:
		c.meet(from, nil)
		c.receiveEvents(from, data[1:])
	case kindControl:
		var m control
		if json.Unmarshal(data[1:], &m) != nil {
			c.hub.node.counters.malformed.Add(1)
			return
		}
		if m.Kind != sayBye {
			c.meet(from, &m)
		}
		c.receiveControl(from, &m)
	default:
		c.hub.node.counters.malformed.Add(1) // of a later version, perhaps
	}
}

// receiveEvents routes events of one emitter at another hub. Who may do what was decided there, or is decided here, by this
// hub's own knowledge.
func (c *cluster) receiveEvents(from string, frame []byte) {
	count := &c.hub.node.counters
	events, malformed := readFrame(c.events[:0], frame)
	defer clear(events)
	c.events = events
	count.malformed.Add(uint64(malformed))
	if len(events) == 0 {
		return
	}
	c.fences.mu.Lock()
	defer c.fences.mu.Unlock()
	if !c.fences.passes(events[0].From, from) {
		count.late.Add(uint64(len(events)))
		return
	}
	c.hub.route(events, source{remote: true, hub: from})
	if n := c.hub.node.hearRow(events, nil); n > 0 {
		c.hub.missed(n, events[0].Name)
	}
	count.hubsIn.Add(uint64(len(events)))
	count.hubsBytesIn.Add(uint64(len(frame)))
}

// alone tells whether there is nobody to publish to: no other hub was there, ever, and one that is would be in reach.
func (c *cluster) alone() bool { return !c.met.Load() && c.member.Err() == nil }

// ruleMissed is what bundles the lines of the log about what came from other hubs while the queue for callbacks was full.
const ruleMissed Rule = "missed"

// missed counts what came from other hubs and this hub's own listeners do not hear.
func (h *hub) missed(n int, event string) {
	h.node.counters.missed.Add(uint64(n))
	if times := h.refusals.note(ruleMissed); times > 0 {
		h.node.opts.Logger.Warn("mesh: callbacks are slow: what comes from other hubs is not heard by this hub itself",
			"event", event, "times", times, "ever", h.node.counters.missed.Load())
	}
}

// publish sends events of one name and emitter to the other hubs that want them.
func (c *cluster) publish(events []routed, from source) {
	if c.alone() {
		if from.unheard != nil {
			from.unheard()
		}
		return
	}
	for len(events) > 0 {
		frame, n := newFrame(events)
		count := &c.hub.node.counters
		size := len(frame)
		if err := c.member.Publish(events[0].Name, frame, from.unheard); err != nil {
			count.hubsDropped.Add(uint64(n))
			if from.unsent != nil {
				from.unsent(err)
			}
			if times := c.hub.refusals.note(ruleUnshared); times > 0 {
				c.hub.node.opts.Logger.Error("mesh: events were not sent to other hubs", "event", events[0].Name, "error", err, "times", times)
			}
		} else {
			count.hubsOut.Add(uint64(n))
			count.hubsBytesOut.Add(uint64(size))
		}
		events = events[n:]
	}
}

// ruleUnshared is what bundles the lines of the log about events that did not get to other hubs.
const ruleUnshared Rule = "unshared"

// want notes that somebody here wants more, or less, than before. What it returns is for await.
func (c *cluster) want(add, remove []string) (version uint64) {
	if c == nil {
		return 0
	}
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
		self := c.hub.describeSelf()
		c.say(nameHub+from, &control{Kind: sayHere, Hub: &self, Count: c.hub.roster.count(), Claims: true}, nil)
	case sayHere: // meet has done it
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
		var info NodeInfo
		if json.Unmarshal(m.Node, &info) != nil {
			c.hub.node.counters.malformed.Add(1)
			return
		}
		info.Hub = from
		event := protocol.NameJoin
		if m.Kind == sayLeave {
			event = protocol.NameLeave
		}
		c.hub.pass(event, encodeInfo(info))
	default: // of a later version, perhaps
	}
}
