package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// Encode encodes the payload of Emit as JSON. The result does not share memory with the payload.
func Encode(event string, payload any) (json.RawMessage, error) {
	var raw []byte
	switch v := payload.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		raw = bytes.Clone(bytes.TrimSpace(v))
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // the payload is not part of an HTML page
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

// Control returns the packet of an event whose name is reserved. It panics if the payload cannot be encoded, so the
// payload must consist of strings, numbers, times and checked JSON.
func Control(event string, payload any) engineio.Message {
	raw, err := Encode(event, payload)
	if err != nil {
		panic(err)
	}
	return engineio.Message{Data: protocol.AppendPacket(nil, &protocol.Packet{Event: event, Payload: raw}, true)}
}
