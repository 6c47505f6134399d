package natsbackplane

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// separator stands between the parts of an event name.
const separator = "::"

// maxSubject is how long the subject of an event may be, in bytes. NATS bounds a line of its protocol by 4,096.
const maxSubject = 1024

// maxPrefix bounds Options.Prefix, in bytes.
const maxPrefix = 128

var errPrefix = errors.New("natsbackplane: Prefix must be tokens of letters, digits, _ and -, separated by dots, at most 128 bytes")

// subjects makes the subjects of a mesh.
type subjects struct{ events, long, own, inbox string }

func newSubjects(prefix string) (subjects, error) {
	if len(prefix) > maxPrefix {
		return subjects{}, errPrefix
	}
	for t := range strings.SplitSeq(prefix, ".") {
		if t == "" || token(t) != t {
			return subjects{}, errPrefix
		}
	}
	return subjects{events: prefix + ".e", long: prefix + ".l", own: prefix + ".h.", inbox: prefix + ".i."}, nil
}

// of returns the subject of a name.
func (s subjects) of(name string) string {
	if isOwn(name) {
		return s.own + token(name)
	}
	if subject, _ := s.join(strings.Split(name, separator)); len(subject) <= maxSubject {
		return subject
	}
	sum := sha256.Sum256([]byte(name))
	return s.long + "." + hex.EncodeToString(sum[:])
}

// matching returns the subjects that have all names that a pattern matches.
func (s subjects) matching(pattern string) []string {
	parts := strings.Split(pattern, separator)
	subject, rest := s.join(parts)
	switch {
	case isOwn(pattern) || !strings.Contains(pattern, "*") || len(rest) == 0 && !strings.Contains(subject, "*"):
		return []string{s.of(pattern)}
	case len(subject) > maxSubject: // and so is each name
		return []string{s.long + ".>"}
	case len(rest) == 0:
		return []string{subject, s.long + ".>"}
	case len(rest) == 1 && subject != s.events: // "**" is no part, too
		return []string{subject, subject + ".>", s.long + ".>"}
	}
	return []string{subject + ".>", s.long + ".>"}
}

// join returns the subject of the parts up to the first "**", and what is left from there on.
func (s subjects) join(parts []string) (subject string, rest []string) {
	var b strings.Builder
	b.WriteString(s.events)
	for i, part := range parts {
		if part == "**" {
			return b.String(), parts[i:]
		}
		b.WriteByte('.')
		if part == "*" {
			b.WriteByte('*')
		} else {
			writeToken(&b, part)
		}
	}
	return b.String(), nil
}

// isOwn tells whether a name is one of the hubs' own, which no event has.
func isOwn(name string) bool {
	return strings.HasPrefix(name, "$") && !strings.Contains(name, separator)
}

func token(part string) string {
	var b strings.Builder
	writeToken(&b, part)
	return b.String()
}

// writeToken writes a part so that NATS takes it for one token.
func writeToken(b *strings.Builder, part string) {
	if part == "" {
		b.WriteByte('=')
	}
	const digits = "0123456789ABCDEF"
	for i := range len(part) {
		c := part[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
}
