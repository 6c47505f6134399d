package protocol

import (
	"bytes"
	"unicode/utf8"
)

// object walks the members of one object and checks its JSON at the same time.
type object struct {
	text
	i    int // where the next member or the closing brace is expected
	room int // levels left for the members' values
	open bool
}

// member is one member of an object. Its bytes alias the object's.
type member struct {
	key      []byte // the bytes between the quotes
	escaped  bool   // key has escapes
	value    []byte
	valueEnd int // offset after value
}

// objectAt returns the object whose opening brace is at i. The object may nest room levels, and room is at least 1.
func objectAt(b text, i, room int) object {
	return object{text: b, i: i + 1, room: room - 1}
}

// next reads one member into m. It returns false at the closing brace, which is then at o.i.
func (o *object) next(m *member) (bool, error) {
	b := o.text
	i := b.space(o.i)
	if i < len(b) && b[i] == '}' {
		o.i = i
		return false, nil
	}
	if o.open {
		if i >= len(b) || b[i] != ',' {
			return false, b.fail(i, errInObject)
		}
		i = b.space(i + 1)
	}
	o.open = true

	if i >= len(b) || b[i] != '"' {
		return false, b.fail(i, errKey)
	}
	end, escaped, err := b.str(i)
	if err != nil {
		return false, err
	}
	m.key, m.escaped = b[i+1:end-1], escaped
	if i, err = b.colon(end); err != nil {
		return false, err
	}
	if end, err = b.value(i, o.room); err != nil {
		return false, err
	}
	// The capacity ends here too, so that an append to a value does not overwrite the bytes after it.
	m.value, m.valueEnd, o.i = b[i:end:end], end, end
	return true, nil
}

// valueAt returns the offset of m's value.
func (m *member) valueAt() int { return m.valueEnd - len(m.value) }

// is reports whether the member's key is name, with or without escapes.
func (m *member) is(name string) bool {
	if !m.escaped {
		return string(m.key) == name
	}
	if len(m.key) > 6*len(name) {
		return false
	}
	i := 0
	for j := 0; j < len(m.key); {
		c, n := unescape(m.key[j:])
		var one [utf8.UTFMax]byte
		w := utf8.EncodeRune(one[:], c)
		if len(name)-i < w || name[i:i+w] != string(one[:w]) {
			return false
		}
		i, j = i+w, j+n
	}
	return i == len(name)
}

// unescape returns the first character of s, the bytes between the quotes of a valid string, and the number of bytes
// that it takes there. It returns half a surrogate pair unchanged, as a rune that UTF-8 cannot encode.
func unescape(s []byte) (rune, int) {
	if s[0] != '\\' {
		return utf8.DecodeRune(s)
	}
	switch s[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := hex4(s[2:])
		if r>>10 == highHalf>>10 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if low := hex4(s[8:]); low>>10 == lowHalf>>10 {
				return 0x10000 + (r-highHalf)<<10 + (low - lowHalf), 12
			}
		}
		return r, 6
	}
	return rune(s[1]), 2
}

// The first code units of the two halves of surrogate pairs.
const (
	highHalf = 0xd800
	lowHalf  = 0xdc00
)

func hex4(s []byte) rune {
	return hexDigit(s[0])<<12 | hexDigit(s[1])<<8 | hexDigit(s[2])<<4 | hexDigit(s[3])
}

// more is next for an object that is known to be valid. On an invalid object it ends at the fault.
func (o *object) more(m *member) bool {
	ok, err := o.next(m)
	return ok && err == nil
}

// decode returns the string of raw, a JSON value. It returns last itself if the string equals last, so a repeated
// string costs no allocation. The faults are errEventType, errEventLong beyond limit bytes, and errSurrogate for half a
// surrogate pair, which no Go string can hold.
func decode(raw []byte, limit int, last string) (string, *fault) {
	if raw[0] != '"' {
		return "", errEventType
	}
	s := raw[1 : len(raw)-1]
	if bytes.IndexByte(s, '\\') >= 0 {
		return decodeEscaped(s, limit, last)
	}
	if len(s) > limit {
		return "", errEventLong
	}
	if string(s) == last {
		return last, nil
	}
	return string(s), nil
}

func decodeEscaped(s []byte, limit int, last string) (string, *fault) {
	if len(s) > len(`\uffff`)*limit {
		return "", errEventLong
	}
	var short [MaxName]byte
	out := short[:0]
	if len(s) > len(short) {
		out = make([]byte, 0, len(s)) // an unescaped string is never longer
	}
	for len(s) > 0 {
		r, n := unescape(s)
		if !utf8.ValidRune(r) {
			return "", errSurrogate
		}
		out, s = utf8.AppendRune(out, r), s[n:]
	}
	if len(out) > limit {
		return "", errEventLong
	}
	if string(out) == last {
		return last, nil
	}
	return string(out), nil
}
