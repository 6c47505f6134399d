package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Request emits an event and returns the first reply to it. The reply comes from a node that subscribed with Reply, or
// from another program that replies as docs/packet-format.md describes. The result has the name of the requested event,
// and the payload and the sender of the reply. The node drops later replies.
//
// The error is a *RemoteError if the reply is an error. It is ErrNoListener, at once, if no node listens to the event.
// A hub of this package knows that and reports it to a client, also if the hub rejects the event. Behind a Node.js hub
// the request waits instead. A listener of any kind counts, also one with a pattern. Subscribers that Options.Permit
// blocks do not count at the requester's hub. At another hub they count, and the request then waits. When ctx ends, the
// error wraps its cause. Other errors are those of Emit. At one of several hubs without a listener, they include the
// reason why the request did not reach the other hubs.
//
// The node sends a request at most once. While there is no connection the request waits in the queue, like any event.
// If the connection breaks later, the request or its reply may be lost, or the reply may arrive when the node is
// connected again: Request continues to wait. So set a deadline on ctx.
//
// In a callback, Request blocks the other callbacks of the node. Replies of other nodes arrive in spite of that, unless
// the callback queue is full and an event for it comes before them. A reply of the node itself cannot arrive, because
// its Reply function runs after the callback: call that function directly, or call Request in another goroutine.
func (n *Node) Request(ctx context.Context, event string, payload any) (Event, error) {
	if !protocol.Relayed(event) {
		return Event{}, fmt.Errorf("mesh: %w", protocol.CheckEmit(event))
	}
	if ctx.Err() != nil {
		return Event{}, noAnswer(ctx, event)
	}
	raw, err := wire.Encode(event, payload)
	if err != nil {
		return Event{}, err
	}
	rid := wire.NewID()
	raw, err = wire.Encode(event, appendRequest(nil, rid, n.inbox.name, raw)) // checked again, because the request nests deeper
	if err != nil {
		return Event{}, err
	}
	n.inbox.once.Do(func() {
		n.listeners.Subscribe(n.inbox.name)
		n.role().Announce()
	})
	answers := n.inbox.open(rid, event)
	defer n.inbox.close(rid)
	if err := n.ask(event, raw, rid); err != nil {
		return Event{}, err
	}
	select {
	case a := <-answers:
		return a.event, a.err
	case <-ctx.Done():
		return Event{}, noAnswer(ctx, event)
	case <-n.done:
		return Event{}, ErrClosed
	}
}

func noAnswer(ctx context.Context, event string) error {
	return fmt.Errorf("mesh: request %q: %w", event, context.Cause(ctx))
}

// ask emits a request.
func (n *Node) ask(event string, raw json.RawMessage, rid string) error {
	t := task{
		Event:     delivery{Event: Event{Name: event, Payload: raw, From: n.id}},
		Origin:    dispatch.Emitted,
		First:     n.onAny.All(),
		Listeners: n.listeners.Match(event),
	}
	if anyAccepts(t.Listeners, dispatch.Emitted) {
		rid = "" // a listener exists, so the hub need not report
	}
	return n.send(t, rid)
}

// Reply replies to the requests for an event. It calls fn with each request; the payload is the payload that was given
// to Request. The result of fn goes only to the requesting node. Reply encodes it as Emit encodes a payload. It sends
// an error as text, at most 1,000 bytes of it; Request returns it as a *RemoteError. If a reply cannot be sent, the
// node logs that at Warn, at most once a second, and sends an error to the requesting node if it can.
//
// fn runs like the callbacks of On, so it can make requests. off is as for On. Reply leaves an event of this name that
// is not a request to other listeners. Reply panics as On does.
func (n *Node) Reply(event string, fn func(Event) (any, error)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	unsent := new(limit.Throttle)
	return n.On(event, func(e Event) {
		if r, ok := parseRequest(e.Payload); ok {
			answer, err := fn(Event{Name: e.Name, Payload: r.data, From: e.From})
			n.answer(e.Name, r, answer, err, unsent)
		}
	})
}

// answer sends the reply to a request: the result of the callback, or its error.
func (n *Node) answer(event string, r request, answer any, failure error, unsent *limit.Throttle) {
	if failure == nil {
		raw, err := wire.Encode(event, answer)
		if err == nil {
			err = n.emitAnswer(r, appendAnswer(nil, r.rid, "data", raw))
		}
		if err == nil {
			return
		}
		n.logUnsent("answer", event, err, unsent)
		failure = errAnswer
	}
	text, err := json.Marshal(wire.Truncate(failure.Error()))
	if err == nil {
		err = n.emitAnswer(r, appendAnswer(nil, r.rid, "error", text))
	}
	if err != nil {
		n.logUnsent("error", event, err, unsent)
	}
}

func (n *Node) logUnsent(what, event string, err error, unsent *limit.Throttle) {
	if times := unsent.Allow(); times > 0 {
		n.opts.Logger.Warn("mesh: an "+what+" cannot be sent", "event", event, "error", err, "times", times)
	}
}

var errAnswer = errors.New("the answer cannot be sent")

func (n *Node) emitAnswer(r request, payload json.RawMessage) error {
	if r.reply == n.inbox.name {
		n.inbox.receive(Event{Payload: payload, From: n.id}) // the request names this node's own inbox, so the reply needs no hub
		return nil
	}
	return n.Emit(r.reply, payload)
}

// RemoteError is the error of Request when another node replied with an error.
type RemoteError struct {
	// Message is the text of the error, cut to 1,000 bytes. The other node chooses it, so do not trust its content.
	Message string
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("mesh: answered with an error: %q", e.Message)
}

// replyPrefix begins the names of inboxes. A node replies only under such a name. Otherwise a requester could make it
// emit any event.
const replyPrefix = "reply-"

// request is the content of a request's payload.
type request struct {
	rid   json.RawMessage // returned byte for byte, whatever its value
	reply string
	data  json.RawMessage
}

// parseRequest returns false for a payload that is not a request. The result does not share memory with payload.
func parseRequest(payload json.RawMessage) (r request, ok bool) {
	o, ok := parseObject(payload)
	if !ok || o["rid"] == nil || json.Unmarshal(o["reply"], &r.reply) != nil {
		return r, false
	}
	r.rid, r.data = o["rid"], o["data"]
	return r, strings.HasPrefix(r.reply, replyPrefix) && !strings.Contains(r.reply, separator) && protocol.Relayed(r.reply)
}

// parseObject decodes a JSON object into its members. Names are case-sensitive here, unlike the fields of a struct.
func parseObject(raw json.RawMessage) (o map[string]json.RawMessage, ok bool) {
	return o, bytes.HasPrefix(raw, []byte("{")) && json.Unmarshal(raw, &o) == nil
}

// appendRequest appends the payload of a request, and appendAnswer the payload of a reply. Both append the data byte
// for byte.
func appendRequest(dst []byte, rid, inbox string, data []byte) json.RawMessage {
	dst = append(dst, `{"rid":"`+rid+`","reply":"`+inbox+`"`...)
	return appendMember(dst, "data", data)
}

func appendAnswer(dst []byte, rid json.RawMessage, key string, value []byte) json.RawMessage {
	dst = append(append(dst, `{"rid":`...), rid...)
	return appendMember(dst, key, value)
}

// appendMember appends the last member of an object, unless the value is empty, and closes the object.
func appendMember(dst []byte, key string, value []byte) json.RawMessage {
	if len(value) > 0 {
		dst = append(append(dst, `,"`+key+`":`...), value...)
	}
	return append(dst, '}')
}

func anyAccepts(listeners []*listener, from dispatch.Origin) bool {
	return slices.ContainsFunc(listeners, func(l *listener) bool { return l.Accepts(from) })
}

// inbox receives the replies to a node's requests. All of them are events of one name.
type inbox struct {
	name string
	once sync.Once // guards the subscription to name

	mu      sync.Mutex
	waiting map[string]*waiting // by rid
}

// waiting is a request that waits for its reply.
type waiting struct {
	event  string
	answer chan answer // has room for one reply
}

type answer struct {
	event Event
	err   error
}

func newInbox(id string) inbox {
	return inbox{name: replyPrefix + id, waiting: make(map[string]*waiting)}
}

func (b *inbox) open(rid, event string) <-chan answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiting{event: event, answer: make(chan answer, 1)}
	b.waiting[rid] = w
	return w.answer
}

// close ends the wait. Later replies to the request are dropped.
func (b *inbox) close(rid string) { b.take(rid) }

// take removes a waiting request and returns it; nil if it does not wait.
func (b *inbox) take(rid string) *waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[rid]
	delete(b.waiting, rid)
	return w
}

func (b *inbox) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// receive passes a reply to its request. Replies do not go through the callback queue, so that a callback can wait for
// one.
func (b *inbox) receive(e Event) {
	if b.idle() {
		return
	}
	o, ok := parseObject(e.Payload)
	var rid string
	if !ok || json.Unmarshal(o["rid"], &rid) != nil {
		return
	}
	w := b.take(rid)
	if w == nil {
		return
	}
	if failure := o["error"]; len(failure) > 0 && string(failure) != "null" {
		w.answer <- answer{err: &RemoteError{Message: wire.Truncate(messageOf(failure))}}
		return
	}
	w.answer <- answer{event: Event{Name: w.event, Payload: o["data"], From: e.From}}
}

// messageOf returns the text of an error: the decoded string, or any other JSON value as it is.
func messageOf(failure json.RawMessage) (s string) {
	if json.Unmarshal(failure, &s) != nil {
		return string(failure)
	}
	return s
}

// fail ends a request with an error.
func (b *inbox) fail(rid string, err error) {
	if w := b.take(rid); w != nil {
		w.answer <- answer{err: err}
	}
}
