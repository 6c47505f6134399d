package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/protocol"
)

// Event is an event as a listener gets it.
type Event struct {
	// Name is the name it was emitted under.
	Name string
	// Payload is one JSON value, byte for byte as the emitter wrote it where all between the two are nodes of this
	// package. It is nil if the emitter gave none. It is shared by all listeners, which must not change it.
	Payload json.RawMessage
	// From is the ID of the emitting node, set by the hub from the connection that brought the event. Behind a Node
	// hub it is the payload's id, which that hub writes into objects only: empty for every other payload.
	From string
}

// Decode stores the payload in what v points to, as json.Unmarshal does. An absent payload decodes as null.
func (e Event) Decode(v any) error {
	payload := e.Payload
	if len(payload) == 0 {
		payload = null
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("mesh: payload of %q: %w", e.Name, err)
	}
	return nil
}

var null = json.RawMessage("null")

// eventOverhead is what a queued event costs beyond its name and payload, in bytes, roughly.
const eventOverhead = 128

func eventSize(name string, payload []byte) int { return len(name) + len(payload) + eventOverhead }

// encodePayload turns what Emit was given into JSON of its own.
func encodePayload(event string, payload any) (json.RawMessage, error) {
	var raw []byte
	switch v := payload.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		raw = bytes.Clone(bytes.TrimSpace(v))
	case []byte:
		raw = bytes.Clone(bytes.TrimSpace(v))
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // it is not going into a page
		if err := enc.Encode(v); err != nil {
			return nil, fmt.Errorf("mesh: payload of %q: %w", event, err)
		}
		raw = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if err := protocol.CheckPayload(raw); err != nil {
		return nil, fmt.Errorf("mesh: payload of %q: %w", event, err)
	}
	return raw, nil
}

// Errors of this package. They may come wrapped; compare with errors.Is.
var (
	// ErrClosed says that the node was closed.
	ErrClosed = errors.New("mesh: node closed")
	// ErrQueueFull says that an event was not sent because a queue of the node is full: that of its callbacks, or
	// that of what waits to be written to the hub. Nobody gets the event.
	ErrQueueFull = errors.New("mesh: queue full")
	// ErrTooLarge says that an event was not sent because it is larger than Options.MaxMessage, of this node or of its hub.
	ErrTooLarge = errors.New("mesh: event larger than MaxMessage")
	// ErrUnconfirmed is Flush's answer when the connection broke between an Emit and the hub's confirmation: some of
	// the events emitted before may be lost. It is given once for each break.
	ErrUnconfirmed = errors.New("mesh: the connection broke before the hub confirmed all events")
	// ErrNoListener is Request's answer when it is known that nobody listens to the event.
	ErrNoListener = errors.New("mesh: nobody listens")
	// ErrSlowPeer is why a hub closed a peer that did not take its events fast enough.
	ErrSlowPeer = errors.New("mesh: peer too slow: its queue was full, or it read nothing while other peers waited for it")
	// ErrSuperseded is why a hub closed a session: its node is back on a newer connection.
	ErrSuperseded = errors.New("mesh: the node is back on a newer connection")
	// ErrNodeHub says that a question was not asked because the hub is a Node hub, which answers none.
	ErrNodeHub = errors.New("mesh: the hub is a Node hub, which answers no questions about its mesh")
	// ErrUnknownNode says that no hub that answers has a node with this ID.
	ErrUnknownNode = errors.New("mesh: no such node")
	// ErrNotPermitted says that the hub does not let this node ask, or not about this event.
	ErrNotPermitted = errors.New("mesh: not permitted")
	// ErrTooManyWatchers says that so many nodes are told who comes and goes that the hub takes no more of them.
	ErrTooManyWatchers = errors.New("mesh: too many nodes watch who comes and goes")
	// ErrUnauthorized is why a hub closed a peer that it did not admit.
	ErrUnauthorized = errors.New("mesh: peer not authorized")
)

// AuthError is Connect's answer when the hub refused the node. Trying again with the same credentials is of no use.
type AuthError struct {
	// Message is what the hub said, cut to 200 bytes. It may be anything.
	Message string
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("mesh: the hub refused this node: %q", e.Message)
}
