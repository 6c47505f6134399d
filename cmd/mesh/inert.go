package main

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// inert escapes what a terminal might obey, or show in another order than it is in: names, payloads and messages are
// other people's. What it returns of JSON is the same JSON.
func inert(text []byte) []byte {
	if !bytes.ContainsFunc(text, obeyed) {
		return text
	}
	var b bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if obeyed(r) && (r != utf8.RuneError || n == 1) {
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(text[:n])
		}
		text = text[n:]
	}
	return b.Bytes()
}

// writeInert writes text to what may be a terminal.
func writeInert(w io.Writer, text []byte) (int, error) {
	if _, err := w.Write(inert(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// obeyed tells the characters. A byte that is no UTF-8 is one too: to some terminals it is a control character.
func obeyed(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029', r == utf8.RuneError:
		return true
	}
	return false
}
