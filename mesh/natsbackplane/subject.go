package natsbackplane

import (
	"errors"
	"fmt"
	"strings"
)

// separator stands between the parts of an event name.
const separator = "::"

// maxPrefix bounds Options.Prefix, in bytes. The longest subject, of a name of protocol.MaxName bytes that all need to be
// escaped, has some 1,700 bytes with it, and the line to publish under it less than 2,000; NATS bounds lines by 4,096.
const maxPrefix = 128

var errPrefix = errors.New("natsbackplane: Prefix must be tokens of letters, digits, _ and -, separated by dots, at most 128 bytes")

// subjects makes the subjects of a mesh.
type subjects struct{ prefix, events, own, inbox string }

func newSubjects(prefix string) (subjects, error) {
	if len(prefix) > maxPrefix {
		return subjects{}, errPrefix
	}
	for t := range strings.SplitSeq(prefix, ".") {
		if t == "" || string(appendToken(nil, t)) != t {
			return subjects{}, errPrefix
		}
	}
	prefix = apart(prefix)
	return subjects{prefix: prefix + ".", events: prefix + ".e", own: prefix + ".h", inbox: prefix + ".i"}, nil
}

// apart returns how a prefix stands in subjects. The token after the prefix of a mesh is "e", "h" or "i", and no other prefix
// has one of these behind its first token: there they are "=e", "=h" and "=i". So no subject of a mesh is one of a mesh
// whose prefix is longer: that of the event e::a of "prod" is prod.e.e.a, and that of a of "prod.e" is prod.=e.e.a.
func apart(prefix string) string {
	tokens := strings.Split(prefix, ".")
	for i, t := range tokens {
		if i > 0 && (t == "e" || t == "h" || t == "i") {
			tokens[i] = "=" + t
		}
	}
	return strings.Join(tokens, ".")
}

// has tells whether an error of NATS is about a subject of this mesh.
func (s subjects) has(text string) bool { return strings.Contains(text, `"`+s.prefix) }

// of returns the subject of a name.
func (s subjects) of(name string) string {
	if isOwn(name) {
		return string(appendToken(append(make([]byte, 0, 128), s.own+"."...), name))
	}
	b := append(make([]byte, 0, 128), s.events...)
	for part := range strings.SplitSeq(name, separator) {
		b = appendToken(append(b, '.'), part)
	}
	return string(b)
}

// matching returns the subjects that have all names that a pattern matches. They have no others, unless "**" stands before
// the end of the pattern.
func (s subjects) matching(pattern string) []string {
	if isOwn(pattern) || !strings.Contains(pattern, "*") {
		return []string{s.of(pattern)}
	}
	b := append(make([]byte, 0, 128), s.events...)
	for rest, more := pattern, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, separator)
		switch {
		case part == "**" && !more && len(b) > len(s.events): // it can be no part at all
			return []string{string(b), string(b) + ".>"}
		case part == "**":
			return []string{string(b) + ".>"}
		case part == "*":
			b = append(b, ".*"...)
		default:
			b = appendToken(append(b, '.'), part)
		}
	}
	return []string{string(b)}
}

// inboxOf returns what the subjects of answers to a member begin with.
func (s subjects) inboxOf(member source) string {
	return fmt.Sprintf("%s.%s%016x.", s.inbox, member.hub, member.life)
}

// isOwn tells whether a name is one of the hubs' own, which no event has.
func isOwn(name string) bool {
	return strings.HasPrefix(name, "$") && !strings.Contains(name, separator)
}

// appendToken appends a part so that NATS takes it for one token, and for no wildcard.
func appendToken(b []byte, part string) []byte {
	if part == "" {
		return append(b, '=')
	}
	const digits = "0123456789ABCDEF"
	for i := range len(part) {
		switch c := part[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			b = append(b, c)
		default:
			b = append(b, '=', digits[c>>4], digits[c&15])
		}
	}
	return b
}
