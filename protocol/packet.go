package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Packet is one packet of the mesh, the body of one Engine.IO message.
type Packet struct {
	// Event is the name of the event: valid UTF-8, not empty, at most MaxName bytes. It may be Reserved.
	Event string

	// Payload is the JSON value that the sender wrote, byte for byte, without surrounding white space. It is empty if
	// the packet has no payload, and null if the packet has a null payload.
	Payload json.RawMessage

	// From is the ID of the node that emitted the event. A hub sets it, and only for a peer that offered Hello. It is
	// empty if the field is absent, not a string, longer than MaxID, or has half a surrogate pair. A hub ignores the
	// field in a client's packet.
	From string

	// RID is the ID of an event whose client wants to know that no node subscribes to it: the hub then replies with
	// NameUnheard and the same rid. A hub does not relay RID. It is empty if the field is absent, not a string, longer
	// than MaxID, or has half a surrogate pair.
	RID string

	// N is the number of the event among the events of its emitter: 1, 2, 3 and so on, over the emitter's whole life.
	// When an emitter or a listener has moved from one hub to another, N shows which events the listener already has. A
	// client that offered Hello may set it, and a hub sends it to such clients only. It is 0 if the field is absent, or
	// not a whole number from 1 to MaxNumber.
	N uint64

	// EventTable is the sender's whole event table as it was written, for ParseEventTable. A hub first compares it with
	// the previous one, since the original's clients repeat it in every packet. It is empty if the field is absent or
	// null, and otherwise any JSON value.
	EventTable json.RawMessage

	// Headers is empty if the field is absent or not an object.
	Headers Headers
}

// Parse parses one packet in one pass and checks that all of b is JSON. The slices of the result alias b. Of members
// with the same name the last one counts. Parse ignores members that Packet does not have. The error is a *SyntaxError.
func Parse(b []byte) (Packet, error) {
	var p Parser
	return p.parse(b)
}

// Parser parses the packets of one connection. It remembers the last event, sender and headers, so that repeated values
// cost no allocation: the strings and the structs in Headers are then the same as in the previous packet, and the
// caller may not modify them. It holds at most 4 KiB and the credentials. The zero value is ready. A Parser is not safe
// for concurrent use.
type Parser struct {
	event, from string
	headersRaw  []byte
	headers     Headers
}

// Parse is like the function Parse.
func (r *Parser) Parse(b []byte) (Packet, error) {
	p, err := r.parse(b)
	if err != nil {
		return Packet{}, err
	}
	r.event = p.Event
	if p.From != "" {
		r.from = p.From
	}
	return p, nil
}

// fields holds the members of a packet as they were written.
type fields struct {
	event, payload, from, n, rid, table, headers []byte
	eventAt                                      int
}

func (r *Parser) parse(b []byte) (Packet, error) {
	if len(b) > MaxPacket {
		return Packet{}, &SyntaxError{Offset: MaxPacket, Err: errSize}
	}
	var f fields
	end, err := f.read(b)
	if err != nil {
		return Packet{}, err
	}
	if f.event == nil {
		return Packet{}, &SyntaxError{Offset: end, Err: errNoEvent}
	}
	event, why := decode(f.event, MaxName, r.event)
	if why == nil && event == "" {
		why = errEventVoid
	}
	if why != nil {
		return Packet{}, &SyntaxError{Offset: f.eventAt, Err: why}
	}
	p := Packet{Event: event, Payload: f.payload}
	if f.from != nil {
		p.From, _ = decode(f.from, MaxID, r.from)
	}
	if f.n != nil {
		p.N = number(f.n)
	}
	if f.rid != nil {
		p.RID, _ = decode(f.rid, MaxID, "")
	}
	if f.table != nil && f.table[0] != 'n' {
		p.EventTable = f.table
	}
	if f.headers != nil {
		p.Headers = r.readHeaders(f.headers)
	}
	return p, nil
}

// read fills f from the packet b and returns the offset of its closing brace.
func (f *fields) read(b text) (int, error) {
	i := b.space(0)
	if i >= len(b) {
		return 0, b.fail(i, errEnd)
	}
	if b[i] != '{' {
		return 0, b.otherThan(i, MaxDepth, errNotObject)
	}
	o := objectAt(b, i, MaxDepth)
	for {
		var m member
		ok, err := o.next(&m)
		if err != nil {
			return 0, err
		}
		if !ok {
			return o.i, b.end(o.i + 1)
		}
		switch {
		case m.is("event"):
			f.event, f.eventAt = m.value, m.valueAt()
		case m.is("payload"):
			f.payload = m.value
		case m.is("from"):
			f.from = m.value
		case m.is("n"):
			f.n = m.value
		case m.is("eventTable"):
			f.table = m.value
		case m.is("headers"):
			f.headers = m.value
		case m.is("rid"):
			f.rid = m.value
		}
	}
}

func (r *Parser) readHeaders(raw []byte) Headers {
	if len(r.headersRaw) > 0 && bytes.Equal(raw, r.headersRaw) {
		return r.headers
	}
	h := readHeaders(raw)
	if len(raw) <= maxRemembered {
		r.headersRaw, r.headers = append(r.headersRaw[:0], raw...), h
	}
	return h
}

// AppendPacket appends the JSON of p to dst: event, payload, from, n, rid, eventTable and headers in this order. Except
// for event, it leaves out the fields that p does not have. Payload and EventTable must be valid JSON, which
// AppendPacket does not check. Event, From and RID may be any strings, and invalid UTF-8 in them becomes U+FFFD.
//
// With ascii, AppendPacket writes every character beyond ASCII as \uXXXX, in Payload and EventTable too: polling in
// revision 3 of Engine.IO has two dialects of text, which agree on ASCII only.
//
// dst grows, and AppendPacket allocates nothing else. dst may not overlap with the slices of p.
func AppendPacket(dst []byte, p *Packet, ascii bool) []byte {
	dst = append(dst, `{"event":`...)
	dst = appendString(dst, p.Event, ascii)
	if len(p.Payload) > 0 {
		dst = appendRaw(append(dst, `,"payload":`...), p.Payload, ascii)
	}
	if p.From != "" {
		dst = appendString(append(dst, `,"from":`...), p.From, ascii)
	}
	if p.N != 0 {
		dst = strconv.AppendUint(append(dst, `,"n":`...), p.N, 10)
	}
	if p.RID != "" {
		dst = appendString(append(dst, `,"rid":`...), p.RID, ascii)
	}
	if len(p.EventTable) > 0 {
		dst = appendRaw(append(dst, `,"eventTable":`...), p.EventTable, ascii)
	}
	if !p.Headers.empty() {
		dst = p.Headers.appendTo(append(dst, `,"headers":`...), ascii)
	}
	return append(dst, '}')
}

// number returns the number that digits spells, or 0 if digits has another character or the number exceeds MaxNumber.
func number(digits []byte) (n uint64) {
	for _, c := range digits {
		if c < '0' || c > '9' || len(digits) > 16 {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	if n > MaxNumber {
		return 0
	}
	return n
}

func appendRaw(dst, raw []byte, ascii bool) []byte {
	if ascii {
		return AppendASCII(dst, raw)
	}
	return append(dst, raw...)
}
