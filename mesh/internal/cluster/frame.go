package cluster

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// A frame carries events of one name and one emitter from hub to hub. It has fewer bytes than the packets of the
// events, and needs less parsing. A frame begins with its kind, the length and bytes of the name, and the length and
// bytes of the emitter's ID. Then it has, for each event, the number, and the length and bytes of the payload. Lengths
// and numbers are uvarints.

const (
	// maxFrame bounds the events of a frame with more than one event, in bytes as counted by wire.Size. It is the bound
	// for a batch of events of one of the hub's own peers.
	maxFrame = wire.MaxBatch
	// maxFrameEvents bounds the number of events in a frame.
	maxFrameEvents = maxFrame / wire.Overhead
)

// newFrame returns a frame of the first n of these events, which have the same name and emitter.
func newFrame(events []wire.Event) (frame []byte, n int) {
	name, from := events[0].Name, events[0].From
	size, taken := 1+len(name)+len(from)+2*binary.MaxVarintLen16, 0
	for ; n < len(events); n++ {
		taken += wire.Size(name, events[n].Payload)
		if n > 0 && taken > maxFrame {
			break
		}
		size += len(events[n].Payload) + binary.MaxVarintLen64 + binary.MaxVarintLen32
	}
	frame = append(make([]byte, 0, size), frameEvents)
	frame = append(binary.AppendUvarint(frame, uint64(len(name))), name...)
	frame = append(binary.AppendUvarint(frame, uint64(len(from))), from...)
	for i := range events[:n] {
		frame = binary.AppendUvarint(frame, events[i].N)
		frame = append(binary.AppendUvarint(frame, uint64(len(events[i].Payload))), events[i].Payload...)
	}
	return frame, n
}

// readFrame appends the events of a frame without its kind. The events share memory with the frame. It omits and counts
// malformed events.
func readFrame(dst []wire.Event, frame []byte) (events []wire.Event, malformed int) {
	rawName, frame, ok := cutField(frame)
	rawFrom, frame, fine := cutField(frame)
	name, from := string(rawName), string(rawFrom)
	if !ok || !fine || len(frame) == 0 || !protocol.Relayed(name) || len(from) > protocol.MaxID || !utf8.ValidString(from) {
		return dst, 1
	}
	for len(frame) > 0 {
		number, head := binary.Uvarint(frame)
		if head <= 0 || len(dst) >= maxFrameEvents {
			return dst, malformed + 1
		}
		var payload []byte
		if payload, frame, ok = cutField(frame[head:]); !ok {
			return dst, malformed + 1
		}
		if len(payload) > 0 && protocol.CheckPayload(payload) != nil || number > protocol.MaxNumber {
			malformed++
			continue
		}
		dst = append(dst, wire.Event{Name: name, Payload: payload, From: from, N: number})
	}
	return dst, malformed
}

// cutField splits b into its first field and the rest. The length of the field precedes it. It does not change the
// bytes. ok is false if b is too short.
func cutField(b []byte) (field, rest []byte, ok bool) {
	n, head := binary.Uvarint(b)
	if head <= 0 || n > uint64(len(b)-head) {
		return nil, nil, false
	}
	b = b[head:]
	return b[:n:n], b[n:], true
}
