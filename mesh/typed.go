package mesh

import (
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
			n.counters.Undecodable.Add(1)
			if times := misfits.Allow(); times > 0 {
				n.opts.Logger.Warn("mesh: the payload does not fit the listener's type", "event", e.Name, "from", e.From, "error", misfit(err), "times", times)
			}
			return
		}
		fn(payload, e)
	})
}

// Emit is like Node.Emit, for payloads of one type: On with the same type receives an equal value. It always encodes
// the payload with encoding/json, including a []byte.
func Emit[T any](n *Node, event string, payload T) error { return n.Emit(event, &payload) }

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
