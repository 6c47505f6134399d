package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// On is Node.On for payloads of one type: each is decoded into a new T, as json.Unmarshal does it, which knows nothing of
// members that T does not have. An absent payload decodes as null.
//
// For a payload that does not fit, fn is not called. That is logged at Warn with the event, its sender and what is wrong,
// but without the payload, at most once a second; each is counted in Stats.Undecodable. The event itself goes on to the
// other listeners.
func On[T any](n *Node, event string, fn func(T, Event)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	misfits := new(tally)
	return n.On(event, func(e Event) {
		var payload T
		if err := e.Decode(&payload); err != nil {
			n.counters.undecodable.Add(1)
			if times := misfits.note(); times > 0 {
				n.opts.Logger.Warn("mesh: the payload does not fit", "event", e.Name, "from", e.From, "error", misfit(err), "times", times)
			}
			return
		}
		fn(payload, e)
	})
}

// Emit is Node.Emit for payloads of one type, so that On with the same type gets back what was given. The payload is
// always encoded by encoding/json, a []byte too.
func Emit[T any](n *Node, event string, payload T) error { return n.Emit(event, &payload) }

// misfit says what an error of encoding/json is about without what it quotes of the payload. What other errors say, those
// of a type's own UnmarshalJSON, is not known, and so left out.
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
