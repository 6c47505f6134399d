package wire

import "encoding/json"

// Overhead is the approximate cost of a queued event beyond its name and payload, in bytes.
const Overhead = 128

// Size returns the bytes that an event counts in a queue.
func Size(name string, payload []byte) int { return len(name) + len(payload) + Overhead }

// Event is an event between the parts of a node.
type Event struct {
	Name    string
	Payload json.RawMessage // one JSON value, or nil
	From    string          // the ID of the emitting node
	N       uint64          // its sequence number among the events of its emitter; 0 if it has no number
}

// MaxBatch bounds the events that a hub routes together, or sends to another hub together, in bytes as Size counts
// them.
const MaxBatch = 64 << 10
