package mesh

import "encoding/json"

// eventOverhead is the approximate cost of a queued event beyond its name and payload, in bytes.
const eventOverhead = 128

func eventSize(name string, payload []byte) int { return len(name) + len(payload) + eventOverhead }

// routed is an event between the parts of a node.
type routed struct {
	Name    string
	Payload json.RawMessage // one JSON value, or nil
	From    string          // the ID of the emitting node
	N       uint64          // its sequence number among the events of its emitter; 0 if it has no number
}
