package wire

import (
	"encoding/json"
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// Stamp returns a time in the form for descriptions: in UTC, in milliseconds.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// EncodeInfo returns a description as JSON.
func EncodeInfo(info protocol.NodeInfo) json.RawMessage {
	raw, err := json.Marshal(info)
	if err != nil {
		panic(err) // no field has a type that can fail, so this cannot happen
	}
	return raw
}
