package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// NodeInfo is what a hub tells about a node: about each of its peers, whether it is of this package or not, and about
// itself. A page, a Node client and a stock Engine.IO client are nodes too.
type NodeInfo struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // the node's Options.Name
	Role Role   `json:"role"`
	// Hub is the ID of the hub that a client is connected to. A client that moves joins at the new one before it leaves
	// the other.
	Hub string `json:"hub,omitempty"`
	// Addr is the address that a client connected from, or that of a proxy in front of the hub; of a hub where it
	// listens, empty if it has no listener of its own.
	Addr string `json:"addr,omitempty"`
	// Transport and Revision are those of the client's session with the hub, now. A hub has none.
	Transport engineio.Transport `json:"transport,omitempty"`
	Revision  engineio.Revision  `json:"revision,omitempty"`
	// Negotiated is true for nodes of this package, and for all others that introduce themselves as those do.
	Negotiated bool `json:"negotiated"`
	// Browser is true for what calls itself one in its User-Agent.
	Browser bool `json:"browser,omitempty"`
	// Muted is true for a peer that the hub has not admitted: it neither hears nor is heard.
	Muted    bool      `json:"muted,omitempty"`
	Since    time.Time `json:"since"`    // when it connected; of a hub, when it started
	LastSeen time.Time `json:"lastSeen"` // when its last packet or heartbeat came
	// Interests are the names and patterns that it listens to, sorted: at most 32, and 2 KiB together. More counts
	// those that were left out.
	Interests []string `json:"interests"`
	More      int      `json:"more,omitempty"`
}

// Presence says that a node has joined the mesh or left it.
type Presence struct {
	Joined bool // otherwise it left
	Node   NodeInfo
}

// Bounds of what a hub tells about its nodes.
const (
	maxInterests     = 32       // shown of one node
	maxInterestBytes = 2 << 10  // of these
	maxPage          = 256      // nodes in an answer
	maxPageBytes     = 48 << 10 // after which an answer takes no more nodes
	maxWatchers      = 256      // that are told who comes and goes
	maxRID           = 64       // bytes of the mark by which an answer is known

	// A peer may ask so many questions at once, and so many a second; those beyond wait their turn. What is more work
	// counts as more: a question for each so many nodes in an answer, or bytes of the table that an answer is about.
	questionBurst = 20
	questionRate  = 50
	questionNodes = 32
	questionBytes = 16 << 10
)

// roster is what a hub tells of its peers. The fields of peers that say so are guarded by its lock too.
type roster struct {
	since time.Time // when the hub started

	mu       sync.Mutex
	slots    []*peer          // by number; nil where there is none that has introduced itself
	ids      map[string]*peer // the latest with each ID: a client may be back before its old connection is known to be dead
	watchers map[*peer]struct{}
}

// add lists a peer, which has its ID now.
func (r *roster) add(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]*peer)
	}
	if n := p.number + 1 - len(r.slots); n > 0 {
		r.slots = append(r.slots, make([]*peer, n)...)
	}
	r.slots[p.number], r.ids[p.id] = p, p
}

// remove undoes add, and tells that the peer is gone.
func (r *roster) remove(p *peer) {
	if !p.met {
		return
	}
	p.vanish()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots[p.number] = nil
	if r.ids[p.id] == p {
		delete(r.ids, p.id)
	}
}

// exclude undoes enter.
func (p *peer) exclude() {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.admitted = false
}

func (p *peer) setTable(table []byte) {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.table = table
}

func (p *peer) noteInterests(interests []string) {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	p.interests = interests
}

// appear tells those who watch that a peer has joined.
func (p *peer) appear() {
	p.present = true
	p.hub.tell(protocol.NameJoin, p)
}

// vanish tells those who watch that a peer has left, unless it is back already.
func (p *peer) vanish() {
	r := &p.hub.roster
	r.mu.Lock()
	delete(r.watchers, p)
	p.hub.listenForOthers()
	back := r.ids[p.id] != p
	r.mu.Unlock()
	if p.present && !back {
		p.hub.tell(protocol.NameLeave, p)
	}
	p.present = false
}

// tell tells those who watch about a peer.
func (h *hub) tell(event string, about *peer) {
	own := *h.node.emitter.presence.Load()
	r := &h.roster
	r.mu.Lock()
	if len(own) == 0 && len(r.watchers) == 0 && h.cluster == nil {
		r.mu.Unlock()
		return
	}
	info := encodeInfo(h.describe(about))
	slow := r.notify(event, info, about)
	h.cluster.tell(event, info)
	r.mu.Unlock()
	for _, p := range slow {
		p.overflow()
	}
	h.node.notice(event, info)
}

// pass tells those who watch about a node of another hub, or about that hub.
func (h *hub) pass(event string, info json.RawMessage) {
	h.roster.mu.Lock()
	slow := h.roster.notify(event, info, nil)
	h.roster.mu.Unlock()
	for _, p := range slow {
		p.overflow()
	}
	h.node.notice(event, info)
}

// notify tells peers about another one, or about a node of another hub, and returns those whose queue is full. The caller
// holds r.mu: nobody may be told that a node is there after having been told that it has left.
func (r *roster) notify(event string, info json.RawMessage, about *peer) (slow []*peer) {
	if len(r.watchers) == 0 {
		return nil
	}
	m := []engineio.Message{engineio.Prepare(reserved(event, info))}
	for p := range r.watchers {
		// Permissions may be others by now than when it asked to be told.
		if p != about && p.may(MayEmit, protocol.NameNodes) && !p.offer(m) {
			slow = append(slow, p)
		}
	}
	return slow
}

func encodeInfo(info NodeInfo) json.RawMessage {
	raw, err := json.Marshal(info)
	if err != nil {
		panic(err) // strings, numbers and times
	}
	return raw
}

// offer queues messages for a peer. It returns false if the queue is full.
func (p *peer) offer(m []engineio.Message) bool {
	return !errors.Is(p.sock.TryWrite(m...), engineio.ErrQueueFull)
}

// describe returns what is told of a peer. The caller holds h.roster.mu.
func (h *hub) describe(p *peer) NodeInfo {
	info := NodeInfo{
		ID: p.id, Name: p.name, Role: Client, Hub: h.node.id, Negotiated: p.negotiated, Muted: !p.admitted,
		Transport: p.sock.Transport(), Revision: p.sock.Revision(),
		Since: stamp(p.since), LastSeen: stamp(p.sock.LastHeartbeat()),
	}
	if seen := time.Unix(0, p.seen.Load()); seen.After(info.LastSeen) {
		info.LastSeen = stamp(seen)
	}
	if q := p.sock.Request(); q != nil {
		info.Addr = q.RemoteAddr
		info.Browser = strings.HasPrefix(q.UserAgent(), "Mozilla/")
	}
	info.show(p.interests)
	return info
}

// stamp writes a time as it is shown: in UTC, to the millisecond.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// show sets the interests, as many of them as are shown.
func (i *NodeInfo) show(interests []string) {
	n, size := 0, 0
	for n < min(len(interests), maxInterests) && size+len(interests[n]) <= maxInterestBytes {
		size += len(interests[n])
		n++
	}
	i.Interests, i.More = append([]string{}, interests[:n]...), len(interests)-n
}

// describeSelf returns what the hub tells of itself.
func (h *hub) describeSelf() NodeInfo {
	info := NodeInfo{
		ID: h.node.id, Name: h.name, Role: Hub, Addr: h.node.Addr(), Negotiated: true,
		Since: stamp(h.roster.since), LastSeen: stamp(time.Now()),
	}
	info.show(h.node.interests())
	return info
}

// interests returns what a node listens to, sorted.
func (n *Node) interests() []string {
	table, _ := n.emitter.table()
	var names []string
	for key, remote := range table {
		if remote {
			names = append(names, protocol.TableName(key))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// page gives nodes to take, the hub first, then its peers from the slot after on, until take wants no more or so many
// were given. It returns where the next page starts; 0 if there is none. The caller holds h.roster.mu.
func (h *hub) page(after, limit int, take func(NodeInfo) (goesOn bool)) (next int) {
	r := &h.roster
	if after == 0 {
		take(h.describeSelf()) // a page of the hub alone would have no next
	}
	given := 0
	for i := after; i < len(r.slots); i++ {
		p := r.slots[i]
		if p == nil || r.ids[p.id] != p && r.ids[p.id] != nil {
			continue // the other one with this ID is the one that lives
		}
		if given == limit {
			return i
		}
		given++
		if !take(h.describe(p)) {
			return i + 1
		}
	}
	return 0
}

// The payloads of $mesh.nodes: the question, and the answer. Of each other payload a NodeInfo is all.
type (
	nodesQuestion struct {
		RID   json.RawMessage `json:"rid,omitempty"`
		After int64           `json:"after,omitempty"`
		Limit int             `json:"limit,omitempty"`
		Watch *bool           `json:"watch,omitempty"`
	}
	nodesAnswer struct {
		RID   json.RawMessage   `json:"rid,omitempty"`
		You   string            `json:"you"` // the ID of the peer that asked
		Total int               `json:"total"`
		Nodes []json.RawMessage `json:"nodes"`
		Hubs  []NodeInfo        `json:"hubs,omitempty"` // the other ones, on the first page
		Next  int64             `json:"next,omitempty"`
	}
	failure struct {
		RID     json.RawMessage `json:"rid,omitempty"`
		Error   string          `json:"error"`
		Message string          `json:"message"`
	}
)

// Errors, as they cross the wire.
const (
	codeBadQuestion  = "bad-question"
	codeNotPermitted = "not-permitted"
	codeUnknownNode  = "unknown-node"
	codeTooMany      = "too-many-watchers"
	codeUnanswered   = "unanswered"
)

// err says in Go what a hub's answer says.
func (f *failure) err() error {
	switch f.Error {
	case codeUnknownNode:
		return ErrUnknownNode
	case codeTooMany:
		return ErrTooManyWatchers
	case codeNotPermitted:
		return ErrNotPermitted
	case codeUnanswered:
		return errUnanswered
	}
	return errQuestion
}

var errUnanswered = errors.New("mesh: another hub does not answer")

var errQuestion = errors.New("mesh: the hub did not understand the question")

// asked gets a peer's question: it decodes it, waits until it is the peer's turn, and tells whether there is something to
// answer. What the peer sent before the question is dealt with first.
func (p *peer) asked(ctx context.Context, event string, payload json.RawMessage, question any, rid *json.RawMessage) bool {
	err := json.Unmarshal(payload, question) // copies: dispatch gives the payload's memory away
	p.dispatch(false)
	if !pause(ctx, p.questions.borrow(1, questionRate, questionBurst)) {
		return false
	}
	if len(*rid) > maxRID {
		err, *rid = errQuestion, nil
	}
	switch {
	case err != nil:
		p.refuseQuestion(event, *rid)
	case !p.may(MayEmit, event):
		p.denyQuestion(event, *rid)
	default:
		return true
	}
	return false
}

// charge counts an answer as so many questions more: the next one waits for them.
func (p *peer) charge(questions int) { p.questions.borrow(questions, questionRate, questionBurst) }

// denyQuestion answers a question that the peer may not ask.
func (p *peer) denyQuestion(event string, rid json.RawMessage) {
	p.refuse(RuleMayNotEmit, "event", event)
	p.reply(event, failure{rid, codeNotPermitted, "the hub does not permit this question"})
}

// refuseQuestion answers what is no question.
func (p *peer) refuseQuestion(event string, rid json.RawMessage) {
	p.refuse(RuleMalformed, "event", event)
	p.reply(event, failure{rid, codeBadQuestion, "the payload is none of this question"})
}

// reply answers a question.
func (p *peer) reply(event string, answer any) {
	if !p.offer([]engineio.Message{reserved(event, answer)}) {
		p.overflow()
	}
}

func (p *peer) answerNodes(ctx context.Context, payload json.RawMessage) {
	var q nodesQuestion
	if !p.asked(ctx, protocol.NameNodes, payload, &q, &q.RID) {
		return
	}
	if q.Limit <= 0 {
		q.Limit = maxPage
	}
	q.After, q.Limit = max(0, q.After), min(q.Limit, maxPage)
	h, r := p.hub, &p.hub.roster
	a := nodesAnswer{RID: q.RID, You: p.id, Nodes: []json.RawMessage{}}
	r.mu.Lock()
	if q.Watch != nil && !h.watchFor(p, *q.Watch) {
		r.mu.Unlock()
		p.reply(protocol.NameNodes, failure{q.RID, codeTooMany, "too many nodes watch already"})
		return
	}
	a.Total = len(r.ids) + 1 + h.cluster.total()
	if number, slot := cut(q.After); number > 0 {
		r.mu.Unlock()
		p.answerNodesOf(a, number, slot, q.Limit)
		return
	}
	if q.After == 0 {
		a.Hubs = h.cluster.infos()
	}
	next := h.page(int(q.After), q.Limit, a.take())
	a.Next = int64(next)
	if next == 0 {
		a.Next = h.cluster.firstPage(1)
	}
	p.charge(len(a.Nodes) / questionNodes)
	// Written with the roster locked, as tell does.
	ok := p.offer([]engineio.Message{reserved(protocol.NameNodes, a)})
	r.mu.Unlock()
	if !ok {
		p.overflow()
	}
}

// answerNodesOf answers with nodes of another hub: of that with the number, or of the next one if it is gone.
func (p *peer) answerNodesOf(a nodesAnswer, number, slot, limit int) {
	c := p.hub.cluster
	id, found := c.after(number)
	if found != number {
		slot = 0
	}
	answered := make(chan struct{})
	// Written by the goroutine that gets what the other hub says, as it then tells who comes and goes there.
	c.ask(id, control{Kind: askNodes, After: slot, Limit: limit}, func(page *control) {
		defer close(answered)
		a.Next = c.firstPage(found + 1)
		if page != nil {
			a.Nodes = append(a.Nodes, page.Nodes...)
			if page.Next > 0 {
				a.Next = cursor(found, page.Next)
			}
		}
		p.reply(protocol.NameNodes, a)
	})
	<-answered
	p.charge(limit / questionNodes)
}

// take returns what page calls with each node.
func (a *nodesAnswer) take() func(NodeInfo) (goesOn bool) {
	size := 0
	return func(info NodeInfo) bool {
		raw := protocol.AppendASCII(nil, encodeInfo(info)) // as long as it will be
		a.Nodes = append(a.Nodes, raw)
		size += len(raw)
		return size < maxPageBytes
	}
}

// A cursor says where a page of nodes starts: the number of another hub and a slot there. This hub's own number is 0.
func cursor(number, slot int) int64 { return int64(number)<<32 | int64(slot) }

func cut(cursor int64) (number, slot int) {
	return int(cursor >> 32 & (1<<20 - 1)), int(cursor & (1<<31 - 1))
}

// firstPage returns the cursor of the first other hub with at least this number; 0 if there is none.
func (c *cluster) firstPage(number int) int64 {
	_, found := c.after(number)
	return cursor(found, 0)
}

// watchFor has a peer told who comes and goes, or no more. The caller holds h.roster.mu.
func (h *hub) watchFor(p *peer, on bool) bool {
	ok := h.roster.watch(p, on)
	h.listenForOthers()
	return ok
}

// listenForOthers has the other hubs tell who comes and goes there, if somebody here wants to know. The caller holds
// h.roster.mu.
func (h *hub) listenForOthers() {
	h.cluster.watch(len(h.roster.watchers) > 0 || len(*h.node.emitter.presence.Load()) > 0)
}

// watch has a peer told who comes and goes, or no more. The caller holds r.mu.
func (r *roster) watch(p *peer, on bool) bool {
	if !on {
		delete(r.watchers, p)
		return true
	}
	if _, is := r.watchers[p]; !is && len(r.watchers) == maxWatchers {
		return false
	}
	if r.watchers == nil {
		r.watchers = make(map[*peer]struct{})
	}
	r.watchers[p] = struct{}{}
	return true
}

func (h *hub) nodes(ctx context.Context) ([]NodeInfo, error) {
	var all []NodeInfo
	for next, first := 0, true; first || next > 0; first = false {
		h.roster.mu.Lock() // for a page at a time
		next = h.page(next, maxPage, func(info NodeInfo) bool {
			all = append(all, info)
			return true
		})
		h.roster.mu.Unlock()
	}
	for _, id := range h.cluster.hubs() {
		all = append(all, h.cluster.nodes(ctx, id)...)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("mesh: nodes: %w", context.Cause(ctx))
	}
	return all, nil
}

// nodes returns the nodes of another hub, as far as it answers.
func (c *cluster) nodes(ctx context.Context, id string) (all []NodeInfo) {
	for next, first := 0, true; first || next > 0; first = false {
		page := make(chan *control, 1)
		c.ask(id, control{Kind: askNodes, After: next, Limit: maxPage}, func(a *control) { page <- a })
		var a *control
		select {
		case a = <-page:
		case <-ctx.Done():
		}
		if a == nil {
			return all
		}
		for _, raw := range a.Nodes {
			var info NodeInfo
			if json.Unmarshal(raw, &info) == nil {
				all = append(all, info)
			}
		}
		next = a.Next
	}
	return all
}

func (h *hub) watch() {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.listenForOthers()
}

// count returns how many nodes there are, the hub included.
func (r *roster) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) + 1
}

// Nodes returns the nodes of the mesh, the hub first, and behind its peers those of the other hubs, each hub before its own. A client asks its hub, and while it has none waits for it, until
// ctx ends. In a mesh of thousands that takes several answers: a node that comes or goes meanwhile may be missing. It
// returns ErrNodeHub behind a Node hub, ErrNotPermitted if the hub's Options.Permit keeps this node from asking, and
// ErrTooManyWatchers if this node has callbacks of OnPresence that the hub does not serve.
//
// In a callback it can only succeed while there is room in the queue for callbacks, which the answer may stand behind.
func (n *Node) Nodes(ctx context.Context) ([]NodeInfo, error) {
	if n.closed.Load() {
		return nil, ErrClosed
	}
	return n.link.nodes(ctx)
}

// OnPresence calls fn when another node has joined the mesh or left it; a node whose connection broke and that is back
// before the hub noticed joins twice. It is not called with those that are there already: call Nodes after OnPresence,
// and nobody is missed. A client hears nothing while it has no hub, see OnState, and nothing at all from a Node hub, or
// from a hub that is watched by 256 others. See On for off. It panics if fn is nil.
func (n *Node) OnPresence(fn func(Presence)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	l := &listener{event: func(e Event) {
		p := Presence{Joined: e.Name == protocol.NameJoin}
		if e.Decode(&p.Node) == nil {
			fn(p)
		}
	}}
	n.emitter.watch(&n.emitter.presence, l)
	n.link.watch()
	return func() {
		n.executor.retire(l)
		n.emitter.unwatch(&n.emitter.presence, l)
		n.link.watch()
		n.executor.settle(l)
	}
}

// notice hands a join or leave to OnPresence's listeners.
func (n *Node) notice(event string, info json.RawMessage) {
	if listeners := *n.emitter.presence.Load(); len(listeners) > 0 {
		e := Event{Name: event, Payload: info}
		n.executor.push(task{event: e, listeners: listeners, size: eventSize(event, info)})
	}
}

// questions are those that a client has asked and that are not answered yet.
type questions struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan json.RawMessage
}

func (q *questions) ask() (rid uint64, answer chan json.RawMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[uint64]chan json.RawMessage)
	}
	q.last++
	answer = make(chan json.RawMessage, 1)
	q.waiting[q.last] = answer
	return q.last, answer
}

func (q *questions) forget(rid uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, rid)
}

// answer hands an answer to whoever waits for it.
func (q *questions) answer(payload json.RawMessage) {
	var a struct{ RID uint64 }
	if json.Unmarshal(payload, &a) != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if answer, ok := q.waiting[a.RID]; ok {
		answer <- payload
		delete(q.waiting, a.RID)
	}
}

// errIsHub says that this node can answer the question itself, as it has become the hub.
var errIsHub = errors.New("mesh: this node is the hub")

// ready returns the connection, once there is one whose hub knows what this node wants.
func (c *client) ready(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := c.node.emitter.version.Load()
	for {
		switch conn := c.conn; {
		case c.closing:
			return nil, ErrClosed
		case c.hub != nil:
			return nil, errIsHub
		case conn != nil && !conn.native:
			return nil, ErrNodeHub
		case conn != nil && conn.announced >= version:
			return conn, nil
		}
		news := c.change()
		c.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// ask asks the hub, and asks again if the connection breaks before the answer. It returns the connection that brought it.
func (c *client) ask(ctx context.Context, event string, question func(rid json.RawMessage) any, answer any) (*conn, error) {
	rid, answered := c.questions.ask()
	defer c.questions.forget(rid)
	mark, _ := json.Marshal(rid)
	for {
		conn, err := c.ready(ctx)
		if err != nil {
			return nil, err
		}
		ended := conn.sock.Context().Done()
		if conn.sock.Write(ctx, reserved(event, question(mark))) == nil {
			select {
			case raw := <-answered:
				var f failure
				if err := json.Unmarshal(raw, &f); err != nil || f.Error != "" {
					return conn, cmp.Or(err, f.err())
				}
				return conn, json.Unmarshal(raw, answer)
			case <-ended:
			case <-ctx.Done():
			case <-c.life.Done():
				return nil, ErrClosed
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c.mu.Lock()
		c.lose(conn)
		c.mu.Unlock()
	}
}

// maxNodesBytes bounds the answers of which a client makes a list of nodes, together: a hub may be anybody's.
const maxNodesBytes = 32 << 20

var errManyNodes = errors.New("mesh: the hub tells of too many nodes")

func (c *client) nodes(ctx context.Context) ([]NodeInfo, error) {
	return c.nodesWithin(ctx, maxNodesBytes)
}

func (c *client) nodesWithin(ctx context.Context, limit int) ([]NodeInfo, error) {
	var all []NodeInfo
	var asked *conn // whose hub numbers the pages
	watch, size := c.watches(), 0
	for next, first := int64(0), true; first || next > 0; first = false {
		var a struct {
			Nodes json.RawMessage
			Next  int64
		}
		conn, err := c.ask(ctx, protocol.NameNodes, func(rid json.RawMessage) any {
			return nodesQuestion{RID: rid, After: next, Watch: watch}
		}, &a)
		if err == nil && next > 0 && conn != asked {
			return c.nodesWithin(ctx, limit) // it is another hub's list by now
		}
		asked = conn
		switch {
		case errors.Is(err, errIsHub):
			return c.node.hub.Load().nodes(ctx)
		case err != nil:
			return nil, unanswered(err)
		}
		if size += len(a.Nodes); size > limit || a.Next != 0 && a.Next <= next {
			return nil, errManyNodes
		}
		next = a.Next
		var page []NodeInfo
		if err := json.Unmarshal(a.Nodes, &page); err != nil {
			return nil, unanswered(err)
		}
		all = append(all, page...)
	}
	return all, nil
}

// unanswered adds what is missing to an error of ask.
func unanswered(err error) error {
	if strings.HasPrefix(err.Error(), "mesh: ") {
		return err
	}
	return fmt.Errorf("mesh: the hub did not answer: %w", err)
}

// watches returns whether the hub is to tell who comes and goes.
func (c *client) watches() *bool {
	watches := len(*c.node.emitter.presence.Load()) > 0
	return &watches
}

func (c *client) watch() {
	c.mu.Lock()
	h := c.hub
	c.startWatch()
	c.mu.Unlock()
	if h != nil {
		h.watch()
	}
}

// startWatch sees to it that the hub knows whether to tell who comes and goes. The caller holds c.mu.
func (c *client) startWatch() {
	if c.asking || c.closing || c.conn == nil || !c.conn.native || c.conn.watched == *c.watches() {
		return
	}
	c.asking = true
	c.wg.Go(func() {
		var asked bool
		conn, err := c.ask(c.life, protocol.NameNodes, func(rid json.RawMessage) any {
			watch := c.watches()
			asked = *watch
			return nodesQuestion{RID: rid, Limit: 1, Watch: watch}
		}, new(struct{}))
		if conn != nil && err != nil {
			c.node.opts.Logger.Warn("mesh: the hub does not tell who comes and goes", "error", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
		if conn != nil {
			conn.watched = asked
			c.startWatch()
		}
	})
}
