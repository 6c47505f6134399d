package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Version is the version of the extensions that this package describes, the field V of Hello.
const Version = 1

// Names that the protocol itself uses.
const (
	NameHandshake    = "handshake"          // from a client: the packet that only announces its table and credentials
	NameNewListener  = "newListener"        // from a client of the original, at each on(…)
	NameHello        = "$mesh.hello"        // from a hub, to a client that offered Hello
	NameUnauthorized = "$mesh.unauthorized" // from a hub, to such a client that it rejects
	NameNodes        = "$mesh.nodes"        // from a client: asks for the list of nodes. Also the hub's reply
	NameExplain      = "$mesh.explain"      // from a client: would that node get that event? Also the hub's reply
	NameJoin         = "$mesh.join"         // from a hub, to a client that asked for presence: a node has joined
	NameLeave        = "$mesh.leave"        // from a hub, to such a client: a node has left
	NameRefused      = "$mesh.refused"      // from a hub, to a client that offered Hello: the hub has rejected events of the client
	NameUnheard      = "$mesh.unheard"      // from a hub, to such a client: no node subscribes to an event that the client sent with an RID
	NameMove         = "$mesh.move"         // from a hub, to a client whose Hello has Moves: go to another hub, this one will close
	NameSync         = "$mesh.sync"         // from a client that offered Hello: have all hubs processed the earlier packets? Also the hub's reply
	NameLeaving      = "$mesh.leaving"      // from such a client: it has moved, and sends nothing more here
	NameLeft         = "$mesh.left"         // from a hub, to such a client: the hub sends nothing more
)

// NameError is an ordinary name in this module. In the original it has a special meaning, so a hub never sends it to a
// peer that did not offer Hello.
const NameError = "error"

// delimiter separates the parts of a name.
const delimiter = "::"

// CheckEmit returns an error unless a node may emit an event of this name. A hub relays exactly these names. A name is
// valid if it is not empty, has at most MaxName bytes of valid UTF-8 and at most MaxParts parts, has no asterisk and is
// not Reserved. Control characters, spaces and empty parts (`a::`) are characters and parts like any others. The error
// wraps ErrName, ErrLimit or ErrReserved.
func CheckEmit(name string) error { return describe("event", name, checkEmit(name)) }

// Relayed reports whether CheckEmit(name) is nil, without the cost of an error.
func Relayed(name string) bool { return checkEmit(name) == nil }

// CheckListen returns an error unless a node may subscribe to this name or pattern. It accepts the same names as
// CheckEmit, and also parts `*` and `**`. It rejects a part that contains an asterisk and other characters: such a part
// would match only itself, and no node can emit it.
func CheckListen(pattern string) error { return describe("listener", pattern, checkListen(pattern)) }

func describe(what, name string, why *fault) error {
	if why == nil {
		return nil
	}
	if len(name) > 64 {
		return fmt.Errorf("protocol: %s %.64q…: %w", what, name, why)
	}
	return fmt.Errorf("protocol: %s %q: %w", what, name, why)
}

func checkEmit(name string) *fault {
	if why := checkName(name); why != nil {
		return why
	}
	if strings.Contains(name, "*") {
		return errNameStar
	}
	return nil
}

func checkListen(pattern string) *fault {
	if why := checkName(pattern); why != nil {
		return why
	}
	if !strings.Contains(pattern, "*") {
		return nil
	}
	for at := 0; at <= len(pattern); {
		var part string
		part, at = cut(pattern, at)
		if part != "*" && part != "**" && strings.Contains(part, "*") {
			return errNamePart
		}
	}
	return nil
}

func checkName(name string) *fault {
	switch {
	case name == "":
		return errNameVoid
	case len(name) > MaxName:
		return errNameLong
	case len(name) >= len(delimiter)*MaxParts && strings.Count(name, delimiter) >= MaxParts:
		return errNameParts
	case !utf8.ValidString(name):
		return errNameUTF8
	case Reserved(name):
		return errNameReserved
	}
	return nil
}

// Reserved reports whether only the protocol itself uses this name. Reserved are handshake, newListener, names of one
// part that start with `$`, and names whose first part is mesh, which an event table could not tell from its own
// prefix.
func Reserved(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] {
	case '$':
		return !strings.Contains(name, delimiter)
	case 'm':
		return name == "mesh" || strings.HasPrefix(name, tablePrefix)
	}
	return name == NameHandshake || name == NameNewListener
}

// IsPattern reports whether one of the parts of s is `*` or `**`.
func IsPattern(s string) bool {
	if !strings.Contains(s, "*") {
		return false
	}
	for at := 0; at <= len(s); {
		var part string
		if part, at = cut(s, at); part == "*" || part == "**" {
			return true
		}
	}
	return false
}

// Match reports whether pattern matches name. `::` separates parts, from the left. `*` matches one part, also an empty
// one. `**` matches any number of parts, also none. Any other part matches itself. In the worst case Match takes time
// in proportion to the product of both lengths. It allocates nothing.
//
// The original's emitter, eventemitter2 0.4.14, agrees except for the faults in its search: it does not match `**::b`
// with `a::b::b`, does not register a pattern with two adjacent `**` or with an empty part, and matches `a::**::*` with
// `a`.
func Match(pattern, name string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == name
	}
	// Each cursor is the start of a part, and beyond the end of its string when no part is left. The parts after a `**`
	// are tried with `**` matching no part, then one part more at a time. Only the last `**` ever has to match more: it
	// can take every part that an earlier `**` could take instead.
	p, n := 0, 0
	retry, taken := -1, 0
	for n <= len(name) {
		if p <= len(pattern) {
			part, next := cut(pattern, p)
			if part == "**" {
				p, retry, taken = next, next, n
				continue
			}
			word, after := cut(name, n)
			if part == "*" || part == word {
				p, n = next, after
				continue
			}
		}
		if retry < 0 {
			return false
		}
		_, taken = cut(name, taken)
		p, n = retry, taken
	}
	for p <= len(pattern) {
		var part string
		if part, p = cut(pattern, p); part != "**" {
			return false
		}
	}
	return true
}

// cut returns the part of s that starts at i, and the start of the next part, which is beyond len(s) after the last
// part.
func cut(s string, i int) (part string, next int) {
	if n := strings.Index(s[i:], delimiter); n >= 0 {
		return s[i : i+n], i + n + len(delimiter)
	}
	return s[i:], len(s) + 1
}

// ID returns the ID of the node that offers this key: the first 16 bytes of the key's SHA-256, in hex. The key is the
// node's secret and the same at every hub. The ID is public.
func ID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
