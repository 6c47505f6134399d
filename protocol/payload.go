package protocol

// CheckPayload returns an error unless b can be the payload of a packet: one JSON value, nested at most MaxDepth-1
// levels, of at most MaxPacket bytes. The error is a *SyntaxError.
func CheckPayload(b []byte) error {
	if len(b) > MaxPacket {
		return &SyntaxError{Offset: MaxPacket, Err: errSize}
	}
	v := text(b)
	end, err := v.value(v.space(0), MaxDepth-1)
	if err != nil {
		return err
	}
	return v.end(end)
}

// AppendWithID appends payload to dst. If payload is an object, it gives the object a member "id" with the string id,
// as the original's hub does with every event that it relays. An existing "id" keeps its place and gets the new value,
// and duplicates of it are dropped. Otherwise "id" becomes the last member. The id of a nested object stays. Arrays and
// scalars are appended unchanged: the original loses its id on them.
//
// payload must be a valid JSON value without surrounding white space, as Packet.Payload is. An invalid payload is
// appended unchanged. dst grows, and AppendWithID allocates nothing else. dst may not overlap with payload.
func AppendWithID(dst, payload []byte, id string) []byte {
	if len(payload) == 0 || payload[0] != '{' {
		return append(dst, payload...)
	}
	var (
		before = len(dst)
		o      = objectAt(payload, 0, MaxDepth)
		copied int  // payload[:copied] is in dst, or was dropped
		last   = 1  // where the last member ends
		found  bool // an "id" occurred
		m      member
	)
	ok, err := o.next(&m)
	for ; ok && err == nil; ok, err = o.next(&m) {
		if m.is("id") {
			if found {
				dst = append(dst, payload[copied:last]...)
			} else {
				dst = append(dst, payload[copied:m.valueAt()]...)
				dst = appendString(dst, id, false)
			}
			found, copied = true, m.valueEnd
		}
		last = m.valueEnd
	}
	if err == nil {
		err = o.end(o.i + 1)
	}
	if err != nil {
		return append(dst[:before], payload...)
	}
	if !found {
		dst = append(dst, payload[:last]...)
		if last > 1 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `"id":`...), id, false)
		copied = last
	}
	return append(dst, payload[copied:]...)
}

// PayloadID returns the member "id" of a payload that is an object, the last one if there are several. It returns ""
// for any other payload, and for an id that is not a string, is longer than MaxID, or has half a surrogate pair.
func PayloadID(payload []byte) string {
	id := ""
	if len(payload) == 0 || payload[0] != '{' {
		return id
	}
	var m member
	for o := objectAt(payload, 0, MaxDepth); o.more(&m); {
		if m.is("id") {
			id, _ = decode(m.value, MaxID, "")
		}
	}
	return id
}
