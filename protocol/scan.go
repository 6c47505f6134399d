package protocol

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// text is JSON that is being scanned. A method takes the offset at which it starts and returns the offset after the
// part that it read, so the scan takes a single pass.
type text []byte

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// space skips white space.
func (b text) space(i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// fail returns a SyntaxError: why at the byte i, or errEnd at the end of the input if the input ends before i.
func (b text) fail(i int, why *fault) error {
	if i >= len(b) {
		return &SyntaxError{Offset: len(b), Err: errEnd}
	}
	return &SyntaxError{Offset: i, Err: why}
}

// end returns an error unless only white space is left.
func (b text) end(i int) error {
	if i = b.space(i); i < len(b) {
		return &SyntaxError{Offset: i, Err: errTrailing}
	}
	return nil
}

// otherThan returns why, with the offset of the value of the wrong type at i. If the JSON is invalid, it returns that
// error instead.
func (b text) otherThan(i, room int, why *fault) error {
	end, err := b.value(i, room)
	if err == nil {
		err = b.end(end)
	}
	if err == nil {
		err = b.fail(i, why)
	}
	return err
}

// value reads the value that starts at i, which nests at most room levels. It stores one bit for each level instead of
// recursing.
func (b text) value(i, room int) (int, error) {
	var (
		objects [MaxDepth / 64]uint64 // bit n: level n is an object, not an array
		depth   int
		err     error
	)
	for {
		// A value starts at i.
		if i >= len(b) {
			return 0, b.fail(i, errEnd)
		}
		switch c := b[i]; {
		case c == '"':
			if i, _, err = b.str(i); err != nil {
				return 0, err
			}
		case c == '{' || c == '[':
			if depth >= room {
				return 0, b.fail(i, errDepth)
			}
			word, bit := &objects[depth/64], uint64(1)<<(depth%64)
			depth++
			i = b.space(i + 1)
			if c == '[' {
				*word &^= bit
				if i < len(b) && b[i] == ']' {
					i++
					depth--
					break
				}
				continue
			}
			*word |= bit
			if i < len(b) && b[i] == '}' {
				i++
				depth--
				break
			}
			if i, err = b.key(i); err != nil {
				return 0, err
			}
			continue
		case c == '-' || c-'0' <= 9:
			if i, err = b.number(i); err != nil {
				return 0, err
			}
		default:
			if i, err = b.literal(i); err != nil {
				return 0, err
			}
		}

		// A value has ended before i: close the objects and arrays that end here, and find the start of the next value.
		for next := false; !next; {
			if depth == 0 {
				return i, nil
			}
			i = b.space(i)
			inObject := objects[(depth-1)/64]>>((depth-1)%64)&1 != 0
			switch {
			case i < len(b) && b[i] == ',':
				i = b.space(i + 1)
				if inObject {
					if i, err = b.key(i); err != nil {
						return 0, err
					}
				}
				next = true
			case inObject && i < len(b) && b[i] == '}', !inObject && i < len(b) && b[i] == ']':
				i++
				depth--
			case inObject:
				return 0, b.fail(i, errInObject)
			default:
				return 0, b.fail(i, errInArray)
			}
		}
	}
}

// key reads a key, its colon, and the white space around the colon.
func (b text) key(i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return 0, b.fail(i, errKey)
	}
	i, _, err := b.str(i)
	if err != nil {
		return 0, err
	}
	return b.colon(i)
}

func (b text) colon(i int) (int, error) {
	i = b.space(i)
	if i >= len(b) || b[i] != ':' {
		return 0, b.fail(i, errColon)
	}
	return b.space(i + 1), nil
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// str reads the string whose opening quote is at i, and reports whether it has escapes.
func (b text) str(i int) (end int, escaped bool, err error) {
	i++
	start, seen := i, uint64(0) // seen: all bytes or-ed together, also some bytes after the string
	for {
		// Read eight bytes at a time while none is a quote, a backslash or a control character. A borrow can set a
		// wrong mark only above the first right mark, so the lowest mark is always right.
		for len(b)-i >= 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			seen |= x
			quote, slash := x^'"'*everyByte, x^'\\'*everyByte
			marks := ((x-' '*everyByte)&^x | (quote-everyByte)&^quote | (slash-everyByte)&^slash) & highBits
			if marks != 0 {
				i += bits.TrailingZeros64(marks) / 8
				break
			}
			i += 8
		}
		switch {
		case i >= len(b):
			err = b.fail(i, errEnd)
		case b[i] == '"':
			end = i + 1
		case b[i] == '\\':
			escaped = true
			next, bad := b.escape(i)
			if bad == nil {
				i = next
				continue
			}
			err = bad
		case b[i] < ' ':
			err = b.fail(i, errControl)
		default:
			seen |= uint64(b[i])
			i++
			continue
		}
		if seen&highBits != 0 && !utf8.Valid(b[start:i]) {
			return 0, false, b.badUTF8(start)
		}
		return end, escaped, err
	}
}

// badUTF8 returns a SyntaxError at the first byte, from i on, that starts no valid character.
func (b text) badUTF8(i int) error {
	for {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return &SyntaxError{Offset: i, Err: errUTF8}
		}
		i += n
	}
}

// escape reads the escape whose backslash is at i.
func (b text) escape(i int) (int, error) {
	i++
	if i >= len(b) {
		return 0, b.fail(i, errEnd)
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		for n := 1; n <= 4; n++ {
			if i+n >= len(b) || hexDigit(b[i+n]) < 0 {
				return 0, b.fail(i+n, errEscape)
			}
		}
		return i + 5, nil
	}
	return 0, b.fail(i, errEscape)
}

// hexDigit returns the value of a hexadecimal digit, or -1.
func hexDigit(c byte) rune {
	switch {
	case c-'0' <= 9:
		return rune(c - '0')
	case c|0x20-'a' <= 5:
		return rune(c|0x20-'a') + 10
	}
	return -1
}

// number reads the number that starts at i with a digit or a minus.
func (b text) number(i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	default:
		var err error
		if i, err = b.digits(i); err != nil {
			return 0, err
		}
	}
	if i < len(b) && b[i] == '.' {
		var err error
		if i, err = b.digits(i + 1); err != nil {
			return 0, err
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return b.digits(i)
	}
	return i, nil
}

// digits reads one digit or more.
func (b text) digits(i int) (int, error) {
	if i >= len(b) || b[i]-'0' > 9 {
		return 0, b.fail(i, errNumber)
	}
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i, nil
}

// literal reads true, false or null.
func (b text) literal(i int) (int, error) {
	var word string
	switch b[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	default:
		return 0, b.fail(i, errValue)
	}
	for n := 1; n < len(word); n++ {
		if i+n >= len(b) || b[i+n] != word[n] {
			return 0, b.fail(i+n, errLiteral)
		}
	}
	return i + len(word), nil
}
