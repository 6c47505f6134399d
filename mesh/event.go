package mesh

import (
	"encoding/json"
	"fmt"

	"github.com/bigcompany/mesh/mesh/internal/fault"
)

// Event is an event as a listener receives it.
type Event struct {
	// Name is the name under which the event was emitted.
	Name string
	// Payload is one JSON value. It is byte for byte the emitter's payload if every node on the way is of this package.
	// It is nil if the emitter gave none. All listeners share it and must not change it.
	Payload json.RawMessage
	// From is the ID of the emitting node. The hub sets it from the connection on which the event arrived. At a client
	// of a Node.js hub, From is the payload's member id. A Node.js hub writes that member into objects only, so From is
	// empty for every other payload.
	From string
}

// Decode stores the payload in the value that v points to, as json.Unmarshal does. An absent payload decodes as null.
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

// separator separates the parts of an event name.
const separator = "::"

// Errors of this package. They may come wrapped; compare with errors.Is.
var (
	// ErrClosed reports that the node was closed.
	ErrClosed = fault.ErrClosed
	// ErrQueueFull reports that an event was not sent because a queue of the node is full: the queue for callbacks, or
	// the queue of events for the hub. No node receives the event.
	ErrQueueFull = fault.ErrQueueFull
	// ErrTooLarge reports that an event was not sent because it is larger than Options.MaxMessage of this node or of
	// its hub.
	ErrTooLarge = fault.ErrTooLarge
	// ErrUnconfirmed is the error of Flush when the connection broke between an Emit and the hub's confirmation. Some
	// of the events emitted before may be lost. Flush returns it once for each break.
	ErrUnconfirmed = fault.ErrUnconfirmed
	// ErrNoListener is the error of Request when it is known that no node gets the event: no node subscribes to it, the
	// hub rejects it, or Options.Permit of the hub does not let the subscribers receive it.
	ErrNoListener = fault.ErrNoListener
	// ErrSlowPeer is the reason why a hub closed a peer that did not read its events fast enough.
	ErrSlowPeer = fault.ErrSlowPeer
	// ErrSuperseded is the reason why a hub closed a session whose node has reconnected.
	ErrSuperseded = fault.ErrSuperseded
	// ErrLegacyHub reports that a question was not asked: the hub is a Node.js hub and would not reply.
	ErrLegacyHub = fault.ErrLegacyHub
	// ErrUnknownNode reports that no hub that replied has a node with this ID.
	ErrUnknownNode = fault.ErrUnknownNode
	// ErrNotPermitted reports that the hub does not permit this node's question, or does not permit it about this
	// event.
	ErrNotPermitted = fault.ErrNotPermitted
	// ErrTooManyWatchers reports that the hub accepts no more nodes that watch joins and leaves.
	ErrTooManyWatchers = fault.ErrTooManyWatchers
	// ErrUnauthorized is the reason why a hub closed a peer that it did not admit.
	ErrUnauthorized = fault.ErrUnauthorized
)

// AuthError is the error of Connect when the hub rejects the node. Another attempt with the same credentials fails too.
type AuthError struct {
	// Message is the hub's message, cut to 200 bytes. A hub may send any text.
	Message string
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("mesh: the hub rejected this node: %q", e.Message)
}

// OptionError reports an option that a node cannot use.
type OptionError struct {
	Option string // the field of Options
	Err    error  // the problem, and the remedy
}

func (e *OptionError) Error() string { return "mesh: Options." + e.Option + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

func optionError(option, format string, args ...any) error {
	return &OptionError{option, fmt.Errorf(format, args...)}
}
