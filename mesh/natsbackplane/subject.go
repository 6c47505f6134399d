package natsbackplane

import (
	"errors"
	"fmt"
	"strings"
)

// separator separates the parts of an event name.
const separator = "::"

// maxPrefix limits Options.Prefix, in bytes. With it, the longest subject has about 1,700 bytes: that of a name of
// protocol.MaxName bytes that must all be escaped. The line that publishes under it has less than 2,000 bytes. The
// limit of NATS is 4,096 bytes for a line.
const maxPrefix = 128

var errPrefix = errors.New("natsbackplane: Prefix must be tokens of letters, digits, _ and -, separated by dots, at most 128 bytes")

// subjects makes the subjects of a mesh.
type subjects struct{ prefix, events, hubs, inbox string }

func newSubjects(prefix string) (subjects, error) {
	if len(prefix) > maxPrefix {
		return subjects{}, errPrefix
	}
	for t := range strings.SplitSeq(prefix, ".") {
		if t == "" || string(appendToken(nil, t)) != t {
			return subjects{}, errPrefix
		}
	}
	prefix = escapePrefix(prefix)
	return subjects{prefix: prefix + ".", events: prefix + ".e", hubs: prefix + ".h", inbox: prefix + ".i"}, nil
}

// escapePrefix returns the form of a prefix in subjects. The token after the prefix of a mesh is "e", "h" or "i". In
// other prefixes, these tokens become "=e", "=h" and "=i" after the first token. So no subject of a mesh is a subject
// of a mesh with a longer prefix: the event e::a of "prod" has the subject prod.e.e.a, and the event a of "prod.e" has
// prod.=e.e.a.
func escapePrefix(prefix string) string {
	tokens := strings.Split(prefix, ".")
	for i, t := range tokens {
		if i > 0 && (t == "e" || t == "h" || t == "i") {
			tokens[i] = "=" + t
		}
	}
	return strings.Join(tokens, ".")
}

// mentionedIn reports whether an error of NATS is about a subject of this mesh.
func (s subjects) mentionedIn(text string) bool { return strings.Contains(text, `"`+s.prefix) }

// of returns the subject of a name.
func (s subjects) of(name string) string {
	if isHubName(name) {
		return string(appendToken(append(make([]byte, 0, 128), s.hubs+"."...), name))
	}
	b := append(make([]byte, 0, 128), s.events...)
	for part := range strings.SplitSeq(name, separator) {
		b = appendToken(append(b, '.'), part)
	}
	return string(b)
}

// matching returns subjects that cover all names that a pattern matches. They cover no other names, unless "**" occurs
// before the end of the pattern.
func (s subjects) matching(pattern string) []string {
	if isHubName(pattern) || !strings.Contains(pattern, "*") {
		return []string{s.of(pattern)}
	}
	b := append(make([]byte, 0, 128), s.events...)
	for rest, more := pattern, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, separator)
		switch {
		case part == "**" && !more && len(b) > len(s.events): // "**" also matches zero parts
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

// inboxOf returns the prefix of the subjects of replies to a member.
func (s subjects) inboxOf(member source) string {
	return fmt.Sprintf("%s.%s%016x.", s.inbox, member.hub, member.incarnation)
}

// isHubName reports whether a name is reserved for the hubs' own messages. No event has such a name.
func isHubName(name string) bool {
	return strings.HasPrefix(name, "$") && !strings.Contains(name, separator)
}

// appendToken appends a part in a form that NATS treats as one token, and not as a wildcard.
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
