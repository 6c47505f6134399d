package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/bigcompany/mesh/mesh/internal/limit"
)

// On is like Node.On, for payloads of one type. It decodes each payload into a new T with json.Unmarshal, which ignores
// members that T does not have. An absent payload decodes as null.
//
// If a payload does not decode, On does not call fn. It logs the event, its sender and the error at Warn, at most once
// a second and without the payload. It counts each such event in Stats.Undecodable. Other listeners still receive the
// event.
func On[T any](n *Node, event string, fn func(T, Event)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	misfits := new(limit.Throttle)
	return n.On(event, func(e Event) {
		var payload T
		if err := e.Decode(&payload); err != nil {
			n.reportMisfit(e, err, misfits)
			return
		}
		fn(payload, e)
	})
}

// reportMisfit counts and logs a payload that does not decode for a typed callback.
func (n *Node) reportMisfit(e Event, err error, misfits *limit.Throttle) {
	n.counters.Undecodable.Add(1)
	if times := misfits.Allow(); times > 0 {
		n.opts.Logger.Warn("mesh: the payload does not fit the listener's type", "event", e.Name, "from", e.From, "error", misfit(err), "times", times)
	}
}

// Emit is like Node.Emit, for payloads of one type: On with the same type receives an equal value. Both encode a payload
// in the same way.
func Emit[T any](n *Node, event string, payload T) error { return n.Emit(event, payload) }

// Request is like Node.Request, for a payload and a reply of one type each. It decodes the reply into a new Result
// with json.Unmarshal. An absent payload decodes as null. If the reply does not decode, the error wraps the error of
// encoding/json.
//
//	sum, err := mesh.Request[int](ctx, node, "sum", []int{1, 2, 3})
func Request[Result, Payload any](ctx context.Context, n *Node, event string, payload Payload) (Result, error) {
	var result Result
	e, err := n.Request(ctx, event, payload)
	if err == nil {
		err = e.Decode(&result)
	}
	if err != nil {
		var none Result // Decode may have stored a part of the reply
		return none, err
	}
	return result, nil
}

// Reply is like Node.Reply, for a payload and a reply of one type each.
//
// If the payload of a request does not decode, Reply does not call fn. It replies with an error, which Request returns
// as a *RemoteError, and logs and counts the event as On does.
func Reply[Payload, Result any](n *Node, event string, fn func(Payload, Event) (Result, error)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	misfits := new(limit.Throttle)
	return n.Reply(event, func(e Event) (any, error) {
		var payload Payload
		if err := e.Decode(&payload); err != nil {
			n.reportMisfit(e, err, misfits)
			return nil, errors.New("the payload does not fit: " + misfit(err))
		}
		return fn(payload, e)
	})
}

// misfit describes an error of encoding/json without the parts that quote the payload. The text of other errors, such
// as those of a type's UnmarshalJSON method, may quote it, so misfit returns only their type.
func misfit(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
			err = inner
		}
		return fmt.Sprintf("%T", err)
	}
	value, _, _ := strings.Cut(wrong.Value, " ") // "number 12.5"
	if wrong.Field == "" {
		return fmt.Sprintf("%s for %s", value, wrong.Type)
	}
	return fmt.Sprintf("%s for %s in %s", value, wrong.Type, wrong.Field)
}
