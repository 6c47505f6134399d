package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// encodePayload encodes the payload of Emit as JSON. The result does not share memory with the payload.
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

func reserved(event string, payload any) engineio.Message {
	raw, err := encodePayload(event, payload)
	if err != nil {
		panic(err) // payload is a struct of strings and numbers, so this cannot happen
	}
	return engineio.Message{Data: protocol.AppendPacket(nil, &protocol.Packet{Event: event, Payload: raw}, true)}
}
