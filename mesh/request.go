package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/protocol"
)

// Request emits an event and returns the first answer to it, from a node that listens with Reply or from another program
// that answers as docs/packet-format.md says. The result has the event's name, what was answered as its payload, and the
// sender of that. Later answers are dropped.
//
// The error is a *RemoteError if that is what was answered, and ErrNoListener, at once, if nobody listens to the event: a
// hub knows, and a client of one of this package is told, also if the hub refuses the event; behind a Node hub the request
// waits. A listener of any kind counts, also a pattern. One whom Options.Permit keeps from hearing the event does not count at
// the hub of who asks; at another hub it does, and the request waits. When ctx ends, the error wraps its cause. The others
// are those of Emit, and at one of several hubs, if nobody listens at it, what kept the request from the other hubs.
//
// A request is sent at most once. While there is no connection it waits to be sent, as all events do. If the connection
// breaks later, the request or its answer may be lost with it, or the answer may come when the node is back: Request goes
// on waiting. So ctx should have an end.
//
// In a callback Request blocks the other callbacks of the node, its own Reply included: the request then goes to other
// nodes only. Their answers are not held up, unless the queue for callbacks is full and something that is for it comes
// before them.
func (n *Node) Request(ctx context.Context, event string, payload any) (Event, error) {
	if !protocol.Relayed(event) {
		return Event{}, fmt.Errorf("mesh: %w", protocol.CheckEmit(event))
	}
	if ctx.Err() != nil {
		return Event{}, noAnswer(ctx, event)
	}
	raw, err := encodePayload(event, payload)
	if err != nil {
		return Event{}, err
	}
	rid := randomHex()
	raw, err = encodePayload(event, appendRequest(nil, rid, n.inbox.name, raw)) // checked again: it nests deeper
	if err != nil {
		return Event{}, err
	}
	n.inbox.once.Do(func() {
		n.emitter.want(n.inbox.name)
		n.link.announce()
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
	t := task{event: Event{Name: event, Payload: raw, From: n.id}, origin: emitted, any: *n.emitter.any.Load()}
	if !n.executor.inside() {
		t.listeners = n.emitter.hearers(event)
	}
	if anyHears(t.listeners, emitted) {
		rid = "" // somebody listens, whoever else does
	}
	return n.send(t, rid)
}

func anyHears(listeners []*listener, from origin) bool {
	return slices.ContainsFunc(listeners, func(l *listener) bool { return l.hears(from) })
}

// heard tells whether anybody gets an event: another peer than the sender, or the hub itself if there is a sender.
func (h *hub) heard(event string, sender *peer) bool {
	if sender != nil && anyHears(h.node.emitter.hearers(event), received) {
		return true
	}
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	defer r.reset()
	h.interest.find(event, &r.search)
	for i, l := range r.search.lists {
		byPattern := i > 0 || !r.search.exact
		for p := range l.all() {
			if p == sender || byPattern && p.keepsSilent(event) || !p.negotiated && event == protocol.NameError {
				continue
			}
			if p.may(MayListen, event) {
				return true
			}
		}
	}
	return false
}

// Reply answers the requests for an event: fn gets each with the payload that was given to Request, and what it returns
// is sent to the node that asked, as an event for that alone. The answer is encoded as Emit encodes a payload. An error
// is sent as its text, at most 1,000 bytes of it, and is a *RemoteError there. If the answer cannot be sent, that is
// logged at Warn, at most once a second, and the node that asked gets an error if it can be told.
//
// fn runs as the callbacks of On do, so that it can make requests of its own, and off is that of On. An event of this name
// that is no request is left to other listeners. Reply panics as On does.
func (n *Node) Reply(event string, fn func(Event) (any, error)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	unsent := new(tally)
	return n.On(event, func(e Event) {
		if r, ok := parseRequest(e.Payload); ok {
			answer, err := fn(Event{Name: e.Name, Payload: r.data, From: e.From})
			n.answer(e.Name, r, answer, err, unsent)
		}
	})
}

// answer sends the answer to a request.
func (n *Node) answer(event string, r request, answer any, failure error, unsent *tally) {
	if failure == nil {
		raw, err := encodePayload(event, answer)
		if err == nil {
			err = n.emitAnswer(r, appendAnswer(nil, r.rid, "data", raw))
		}
		if err == nil {
			return
		}
		n.logUnsent("answer", event, err, unsent)
		failure = errAnswer
	}
	text, err := json.Marshal(cutText(failure.Error()))
	if err == nil {
		err = n.emitAnswer(r, appendAnswer(nil, r.rid, "error", text))
	}
	if err != nil {
		n.logUnsent("error", event, err, unsent)
	}
}

func (n *Node) logUnsent(what, event string, err error, unsent *tally) {
	if times := unsent.note(); times > 0 {
		n.opts.Logger.Warn("mesh: an "+what+" cannot be sent", "event", event, "error", err, "times", times)
	}
}

var errAnswer = errors.New("the answer cannot be sent")

func (n *Node) emitAnswer(r request, payload json.RawMessage) error {
	if r.reply == n.inbox.name {
		n.inbox.receive(Event{Payload: payload, From: n.id}) // from this node, to it
		return nil
	}
	return n.Emit(r.reply, payload)
}

// RemoteError is Request's answer when another node answered with an error.
type RemoteError struct {
	// Message is what that node said, cut to 1,000 bytes. It may be anything.
	Message string
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("mesh: answered with an error: %q", e.Message)
}

// maxRemoteError bounds the message of a RemoteError, in bytes.
const maxRemoteError = 1000

func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxRemoteError)], "") }

// replyPrefix begins the names of inboxes. A node answers under such a name only: else whoever asks could have it emit
// any event.
const replyPrefix = "reply-"

// request is what the payload of a request says.
type request struct {
	rid   json.RawMessage // whatever it is, it is returned as it came
	reply string
	data  json.RawMessage
}

// parseRequest returns false for a payload that is no request. The result has memory of its own.
func parseRequest(payload json.RawMessage) (r request, ok bool) {
	o, ok := parseObject(payload)
	if !ok || o["rid"] == nil || json.Unmarshal(o["reply"], &r.reply) != nil {
		return r, false
	}
	r.rid, r.data = o["rid"], o["data"]
	return r, strings.HasPrefix(r.reply, replyPrefix) && !strings.Contains(r.reply, separator) && protocol.Relayed(r.reply)
}

// parseObject takes an object apart. Upper and lower case differ, which they do not for fields of a struct.
func parseObject(raw json.RawMessage) (o map[string]json.RawMessage, ok bool) {
	return o, bytes.HasPrefix(raw, []byte("{")) && json.Unmarshal(raw, &o) == nil
}

// appendRequest and appendAnswer write data byte for byte.
func appendRequest(dst []byte, rid, inbox string, data []byte) json.RawMessage {
	dst = append(dst, `{"rid":"`+rid+`","reply":"`+inbox+`"`...)
	return appendMember(dst, "data", data)
}

func appendAnswer(dst []byte, rid json.RawMessage, key string, value []byte) json.RawMessage {
	dst = append(append(dst, `{"rid":`...), rid...)
	return appendMember(dst, key, value)
}

// appendMember appends the last member of an object, unless it has no value.
func appendMember(dst []byte, key string, value []byte) json.RawMessage {
	if len(value) > 0 {
		dst = append(append(dst, `,"`+key+`":`...), value...)
	}
	return append(dst, '}')
}
