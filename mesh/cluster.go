package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
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
	met    atomic.Bool     // there was another hub, ever: before, nothing needs to be published

	own       sync.Mutex
	interests []string // of this hub's own listeners, sorted; guarded by own

	events []routed // of receive

	mu       sync.Mutex
	closed   bool
	wanted   map[string]want
	version  uint64               // counts what was subscribed and what wants to be known by all
	known    uint64               // the version that all others know, or have been given up for
	sure     uint64               // the version that all others know
	round    *round               // that is under way; nil if none is
	others   map[string]*otherHub // by ID
	numbered int                  // the last number that was given to one of them
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

// otherHub is what a hub knows of another one.
type otherHub struct {
	number int       // given by this hub: pages of nodes follow it
	seen   time.Time // when it last said something
	info   *NodeInfo // nil until it has introduced itself
	nodes  int       // that it has, itself included
}

// round asks all other hubs whether they have dealt with everything that came before.
type round struct {
	rid     uint64
	version uint64
	began   time.Time
	waiting map[string]struct{} // the hubs that have not answered
	doubt   bool                // one of them was given up, and may be there
	done    chan struct{}
}

// question is one that another hub was asked.
type question struct {
	hub   string
	asked time.Time
	// answer is called once, without a lock, with nil if there is no answer.
	answer func(*control)
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

	// Of nodes: from where on, how many, and the answer.
	After int               `json:"after,omitempty"`
	Limit int               `json:"limit,omitempty"`
	Nodes []json.RawMessage `json:"nodes,omitempty"`
	Next  int               `json:"next,omitempty"`

	// Of explain and emitter: the question, what is known of the emitter already, and the answer.
	From    string       `json:"from,omitempty"`
	To      string       `json:"to,omitempty"`
	Event   string       `json:"event,omitempty"`
	Rule    Rule         `json:"rule,omitempty"`
	Verdict *Explanation `json:"verdict,omitempty"`

	Node json.RawMessage `json:"node,omitempty"` // of join and leave: a NodeInfo
}

// The kinds of control. An answer has the kind of its question, and its rid.
const (
	sayHello   = "hello"   // I have come: who are you?
	sayHere    = "here"    // I am there
	sayBye     = "bye"     // I am going
	askSync    = "sync"    // have you dealt with all that I said before?
	askNodes   = "nodes"   // which nodes do you have?
	askExplain = "explain" // would your node To get Event of From?
	askEmitter = "emitter" // may your node From emit Event?
	sayJoin    = "join"    // a node has come to me
	sayLeave   = "leave"   // a node has left me
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
		asked:  make(map[uint64]*question),
		quiet:  make(chan struct{}),
		stop:   make(chan struct{}),
	}
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
	c.say(nameHubs, &control{Kind: sayHello, Hub: &self}, alone)
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
			c.say(nameHubs, &control{Kind: sayHere, Count: c.hub.roster.count()}, nil)
			c.expire(time.Now())
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
	c.hub.route(events, source{remote: true, hub: from})
	c.hub.node.hearRow(events, false)
	count.hubsIn.Add(uint64(len(events)))
	count.hubsBytesIn.Add(uint64(len(frame)))
}

// publish sends events of one name and emitter to the other hubs that want them.
func (c *cluster) publish(events []routed, from source) {
	if !c.met.Load() {
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

// meet notes that a hub lives, and what it says of itself.
func (c *cluster) meet(id string, said *control) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	other := c.others[id]
	stranger := other == nil
	if stranger {
		c.numbered++
		other = &otherHub{number: c.numbered, nodes: 1}
		c.others[id] = other
		c.hub.node.counters.hubs.Store(int64(len(c.others)))
		c.met.Store(true)
	}
	other.seen = time.Now()
	var joined *NodeInfo
	if said != nil {
		if said.Hub != nil {
			said.Hub.ID, said.Hub.Role = id, Hub // it can speak for itself only
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
	if stranger && (said == nil || said.Kind != sayHello && said.Hub == nil) {
		self := c.hub.describeSelf()
		c.say(nameHub+id, &control{Kind: sayHello, Hub: &self}, nil)
	}
	if joined != nil {
		c.hub.node.opts.Logger.Info("mesh: another hub has joined", "hub", id, "name", joined.Name, "addr", joined.Addr)
		c.hub.pass(protocol.NameJoin, encodeInfo(*joined))
	}
}

// silence is why a hub is given up that may still be there.
const silence = "silence"

// lose forgets a hub.
func (c *cluster) lose(id string, why string) {
	c.mu.Lock()
	other := c.others[id]
	delete(c.others, id)
	c.hub.node.counters.hubs.Store(int64(len(c.others)))
	if c.round != nil && why == silence {
		c.round.doubt = true
	}
	c.answered(id)
	var unanswered []*question
	for rid, q := range c.asked {
		if q.hub == id {
			delete(c.asked, rid)
			unanswered = append(unanswered, q)
		}
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.answer(nil)
	}
	if other == nil {
		return
	}
	c.hub.node.opts.Logger.Warn("mesh: another hub is gone", "hub", id, "reason", why)
	if other.info != nil {
		c.hub.pass(protocol.NameLeave, encodeInfo(*other.info))
	}
}

// expire gives up hubs that are silent, and answers that do not come.
func (c *cluster) expire(now time.Time) {
	var silent []string
	var unanswered []*question
	c.mu.Lock()
	for id, other := range c.others {
		if now.Sub(other.seen) >= hubTimeout {
			silent = append(silent, id)
		}
	}
	for rid, q := range c.asked {
		if now.Sub(q.asked) >= hubTimeout {
			delete(c.asked, rid)
			unanswered = append(unanswered, q)
		}
	}
	if c.round != nil && now.Sub(c.round.began) >= hubTimeout {
		c.finish() // the question or an answer was lost
	}
	c.mu.Unlock()
	for _, q := range unanswered {
		q.answer(nil)
	}
	for _, id := range silent {
		c.lose(id, silence)
	}
}

// ask asks another hub. answer is called once, by the goroutine that receives, so that nothing of what the hub says later
// is dealt with before: with nil, maybe by another goroutine, if no answer comes in time.
func (c *cluster) ask(hub string, q control, answer func(*control)) {
	c.mu.Lock()
	if c.closed || len(c.asked) >= maxAsked || c.others[hub] == nil {
		c.mu.Unlock()
		answer(nil)
		return
	}
	c.rid++
	q.RID = c.rid
	c.asked[q.RID] = &question{hub: hub, asked: time.Now(), answer: answer}
	c.mu.Unlock()
	c.say(nameHub+hub, &q, func() {
		if q := c.take(q.RID, hub); q != nil {
			q.answer(nil)
		}
	})
}

// take returns the question that a hub was asked, once.
func (c *cluster) take(rid uint64, hub string) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.asked[rid]
	if q == nil || q.hub != hub {
		return nil
	}
	delete(c.asked, rid)
	return q
}

// askAll asks all other hubs and returns what they answer.
func (c *cluster) askAll(ctx context.Context, q control) []*control {
	if c == nil {
		return nil
	}
	hubs := c.hubs()
	answers := make(chan *control, len(hubs))
	for _, id := range hubs {
		c.ask(id, q, func(a *control) { answers <- a })
	}
	var all []*control
	for range hubs {
		select {
		case a := <-answers:
			if a != nil {
				all = append(all, a)
			}
		case <-ctx.Done():
			return all
		}
	}
	return all
}

// hubs returns the IDs of the other hubs, in the order in which this one has met them.
func (c *cluster) hubs() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.others))
	for id := range c.others {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return c.others[a].number - c.others[b].number })
	return ids
}

// infos returns what the other hubs have told of themselves, of at most so many as a page has nodes. What they listen to is
// left out: it is old.
func (c *cluster) infos() (all []NodeInfo) {
	hubs := c.hubs()
	if len(hubs) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range hubs[:min(len(hubs), maxPage)] {
		if other := c.others[id]; other != nil && other.info != nil {
			info := *other.info
			info.LastSeen, info.Interests, info.More = stamp(other.seen), []string{}, 0
			all = append(all, info)
		}
	}
	return all
}

func (c *cluster) receiveControl(from string, m *control) {
	switch m.Kind {
	case sayHello:
		self := c.hub.describeSelf()
		c.say(nameHub+from, &control{Kind: sayHere, Hub: &self, Count: c.hub.roster.count()}, nil)
	case sayHere: // meet has done it
	case sayBye:
		c.lose(from, "closed")
	case askSync, askNodes, askExplain, askEmitter:
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

// answer answers another hub's question.
func (c *cluster) answer(q *control) *control {
	h, a := c.hub, new(control)
	switch q.Kind {
	case askSync:
		// What a peer of this hub has got already must have been published before the answer is: it may be on its way from
		// the hub that asks to this one, and have dropped what it is to get from there.
		h.busy.wait()
	case askNodes:
		h.roster.mu.Lock()
		defer h.roster.mu.Unlock()
		var page nodesAnswer
		a.Next = h.page(max(0, q.After), max(1, min(q.Limit, maxPage)), page.take())
		a.Nodes = page.Nodes
	case askExplain:
		if p, err := h.lookup(q.To); err == nil {
			rule, match := h.decide(q.From, q.Rule, p, q.Event)
			a.Verdict = &Explanation{Delivered: rule == RuleListens, Rule: rule, Match: match}
		}
	case askEmitter:
		if p, err := h.lookup(q.From); err == nil {
			a.Verdict = &Explanation{Rule: h.mayEmit(p, q.Event)}
		}
	}
	return a
}

func (c *cluster) receiveAnswer(from string, a *control) {
	c.mu.Lock()
	if c.round != nil && c.round.rid == a.RID {
		c.answered(from)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	if q := c.take(a.RID, from); q != nil {
		q.answer(a)
	}
}

// watch has the other hubs tell who comes and goes there, or no more.
func (c *cluster) watch(on bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on == c.watching:
		return
	case on:
		c.member.Subscribe(namePresence)
	default:
		c.member.Unsubscribe(namePresence)
	}
	c.watching = on
}

// tell tells the other hubs that watch that a node has come or gone.
func (c *cluster) tell(event string, info json.RawMessage) {
	if c == nil || !c.met.Load() {
		return
	}
	kind := sayJoin
	if event == protocol.NameLeave {
		kind = sayLeave
	}
	c.say(namePresence, &control{Kind: kind, Node: info}, nil)
}

// total returns how many nodes the other hubs have, themselves included.
func (c *cluster) total() (n int) {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.others {
		n += other.nodes
	}
	return n
}

// after returns the other hub with the lowest number that is at least n, and its number.
func (c *cluster) after(n int) (id string, number int) {
	if c == nil {
		return "", 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.others {
		if other.number >= n && (number == 0 || other.number < number) {
			id, number = i, other.number
		}
	}
	return id, number
}

// Ready says whether clients should be sent to this node: nil at a hub that serves, is not shutting down, and reaches the
// other hubs if there is Options.Backplane. It is for health checks; a hub that is not ready serves the clients that it has. A client is ready
// while it has a hub.
func (n *Node) Ready() error {
	if n.closed.Load() {
		return ErrClosed
	}
	h := n.hub.Load()
	if h == nil {
		if _, ok := n.link.hubInfo(); !ok {
			return errNotConnected
		}
		return nil
	}
	if h.isDraining() {
		return errDraining
	}
	if h.cluster != nil {
		return h.cluster.member.Err()
	}
	return nil
}

var errNotConnected = errors.New("mesh: not connected to a hub")
