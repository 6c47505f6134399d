package main

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// inert escapes the characters of text that a terminal obeys, or does not show: names, payloads and messages come from
// others. Two texts that differ look different. JSON stays the same JSON.
func inert(text []byte) []byte {
	if !bytes.ContainsFunc(text, hidden) {
		return text
	}
	var b bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !hidden(r) || r == utf8.RuneError && n > 1:
			b.Write(text[:n])
		case r > 0xffff: // JSON has no longer escape
			high, low := utf16.EncodeRune(r)
			_, _ = fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.Bytes()
}

// writeInert writes text to a file that may be a terminal.
func writeInert(w io.Writer, text []byte) (int, error) {
	if _, err := w.Write(inert(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// hidden tells whether a terminal may obey a character, or show nothing or a space for it: control characters, also those of
// C1 and of writing directions; characters without a width, such as joiners, tags and variation selectors; spaces other than
// the ordinary one; characters that Unicode has not assigned. A byte that is not UTF-8 is hidden too: to some terminals it is
// a control character.
func hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	case r == utf8.RuneError, r == brailleBlank, !unicode.IsPrint(r):
		return true
	}
	return unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// brailleBlank is a symbol without dots.
const brailleBlank = '\u2800'
