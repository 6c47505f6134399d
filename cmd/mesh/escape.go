package main

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// escape escapes the characters of text that a terminal interprets or does not show, because other nodes choose names,
// payloads and messages. Two different texts also look different. JSON stays the same JSON.
func escape(text []byte) []byte {
	if !bytes.ContainsFunc(text, isControl) {
		return text
	}
	var b bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !isControl(r) || r == utf8.RuneError && n > 1:
			b.Write(text[:n])
		case r > 0xffff: // JSON has no escape for such a character in one piece
			high, low := utf16.EncodeRune(r)
			_, _ = fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.Bytes()
}

// writeEscaped writes text to a file that may be a terminal, as escape does.
func writeEscaped(w io.Writer, text []byte) (int, error) {
	if _, err := w.Write(escape(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// isControl reports whether a terminal may interpret a character, or show nothing or a space for it: control
// characters, including C1 and writing directions; characters without a width, such as joiners, tags and variation
// selectors; spaces other than the ordinary one; characters that Unicode has not assigned. An invalid UTF-8 byte counts
// too: some terminals take it for a control character.
func isControl(r rune) bool {
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
