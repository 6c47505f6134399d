package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Packet is one packet of the mesh, the body of one Engine.IO message.
type Packet struct {
	// Event is its name: valid UTF-8, not empty, at most MaxName bytes. It may be one that Reserved names.
	Event string

	// Payload is the JSON value that the sender wrote, byte for byte, without white space around it. It is empty if
	// the packet has none, and null if that is what it has.
	Payload json.RawMessage

	// From is the ID of the node that emitted the event. A hub sets it, and only for a peer that offered Hello. It is
	// empty if the field is absent, no string, longer than MaxID, or has half a surrogate pair. A hub ignores what a client
	// writes there.
	From string

	// RID is set by a client that wants to hear, in an answer NameUnheard with the same rid, that nobody listens to the
	// event. A hub does not relay it. It is empty if the field is absent, no string, longer than MaxID, or has half a
	// surrogate pair.
	RID string

	// N is the number of the event among those that its emitter has emitted: 1, 2, 3 and so on, over the emitter's whole
	// life. Where an emitter or a listener has moved from one hub to another, it tells what a listener has had already. A
	// client that offered Hello may set it, and a hub sends it to such clients only. It is 0 if the field is absent, or no
	// whole number from 1 to MaxNumber.
	N uint64

	// EventTable is the sender's whole event table as it was written, for ParseEventTable: a hub compares it with the
	// last one first, since the original's clients repeat it in every packet. It is empty if the field is absent or
	// null, and otherwise any JSON value.
	EventTable json.RawMessage

	// Headers are empty if the field is absent or no object.
	Headers Headers
}

// Parse parses one packet in one pass, which also checks that all of b is JSON. The slices of the result alias b. Of
// members with the same name the last one counts; members that Packet does not have are ignored. The error is a
// *SyntaxError.
func Parse(b []byte) (Packet, error) {
	var p Parser
	return p.parse(b)
}

// Parser parses the packets of one connection. It remembers the last event, sender and headers, so that what a peer
// repeats costs no allocation: the strings and the structs behind Headers are then those of the packet before, and may
// not be modified. It keeps at most 4 KiB and the credentials. The zero value is ready; a Parser is not safe for
// concurrent use.
type Parser struct {
	event, from string
	headersRaw  []byte
	headers     Headers
}

// Parse is like the function of that name.
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

// fields are the members of a packet as they were written.
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

// AppendPacket appends the JSON of p to dst: event, payload, from, n, rid, eventTable and headers in this order, of which
// all but event are left out where p has none. Payload and EventTable must be valid JSON, which AppendPacket does not
// check; Event, From and RID may be anything, and what is not UTF-8 in them becomes U+FFFD.
//
// With ascii every character beyond ASCII is written as \uXXXX, in Payload and EventTable too: polling in revision 3
// of Engine.IO has two dialects of text, which agree on ASCII only.
//
// dst grows, and nothing else is allocated. It may not overlap with what p has.
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

// number returns what is written in digits alone, if it is no more than MaxNumber, and otherwise 0.
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
