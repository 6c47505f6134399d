package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Version is the version of the extensions that this package describes, the V of Hello.
const Version = 1

// Names that the protocol itself uses.
const (
	NameHandshake    = "handshake"          // from a client: the packet that only announces its table and credentials
	NameNewListener  = "newListener"        // from a client of the original's, at each on(…)
	NameHello        = "$mesh.hello"        // from a hub, to a client that offered Hello
	NameUnauthorized = "$mesh.unauthorized" // from a hub, to such a client that it refuses
	NameNodes        = "$mesh.nodes"        // from a client: who is there? And the hub's answer
	NameExplain      = "$mesh.explain"      // from a client: would that node get that event? And the hub's answer
	NameJoin         = "$mesh.join"         // from a hub, to a client that asked to be told: a node has come
	NameLeave        = "$mesh.leave"        // from a hub, to such a client: a node has gone
	NameRefused      = "$mesh.refused"      // from a hub, to a client that offered Hello: events of yours were not taken
	NameUnheard      = "$mesh.unheard"      // from a hub, to such a client that sent an event with an RID to nobody
	NameMove         = "$mesh.move"         // from a hub, to a client whose Hello says Moves: go to another hub, this one will close
	NameSync         = "$mesh.sync"         // from a client that offered Hello: have all hubs dealt with what came before? And the answer
	NameLeaving      = "$mesh.leaving"      // from such a client: it has moved, and sends nothing more
	NameLeft         = "$mesh.left"         // from a hub, to such a client: nothing more comes
)

// NameError is an ordinary name to us. A client of the original's dies of an event with this name, also if it listens
// to it: its resource library throws. So a hub never sends it to a peer that did not offer Hello.
const NameError = "error"

// delimiter stands between the parts of a name.
const delimiter = "::"

// CheckEmit tells whether an event of this name may be emitted. A hub relays exactly these. What is not empty, has at
// most MaxName bytes of valid UTF-8 and MaxParts parts, has no asterisk and is not Reserved may be emitted: control
// characters, spaces and empty parts (`a::`) are characters and parts like any others. The error is ErrName, ErrLimit or
// ErrReserved.
func CheckEmit(name string) error { return describe("event", name, checkEmit(name)) }

// Relayed is CheckEmit(name) == nil, without the cost of an error.
func Relayed(name string) bool { return checkEmit(name) == nil }

// CheckListen tells whether a node may listen to this name or pattern: like CheckEmit, except that parts may be `*` or
// `**`. An asterisk that is not all of its part is refused: it would not match anything else than itself, which cannot
// be emitted.
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

// Reserved tells whether the protocol keeps this name for itself: handshake, newListener, names of one part that start
// with `$`, and names whose first part is mesh, which an event table could not tell from its own prefix.
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

// IsPattern tells whether one of the parts of s is `*` or `**`.
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

// Match tells whether pattern matches name. Parts are separated by `::`, from the left; `*` matches one part, an empty
// one too, `**` any number of parts, none too, anything else itself. It takes time in the product of the lengths at
// worst, and allocates nothing.
//
// The original's emitter, eventemitter2 0.4.14, agrees except where its search goes wrong: it misses `**::b` for
// `a::b::b`, does not register a pattern with two adjacent `**` or with an empty part, and takes `a::**::*` for `a`.
func Match(pattern, name string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == name
	}
	// Both cursors are where a part starts, and beyond the end of their string when no part is left. What follows a
	// `**` is tried with no part given to that, then with one more at a time. Only the last `**` ever has to be
	// given more: whatever an earlier one could take instead, the last can take as well.
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

// cut returns the part of s that starts at i, and where the next one starts: beyond len(s) if this is the last.
func cut(s string, i int) (part string, next int) {
	if n := strings.Index(s[i:], delimiter); n >= 0 {
		return s[i : i+n], i + n + len(delimiter)
	}
	return s[i:], len(s) + 1
}

// ID returns the ID of the node that offers this key: the first 16 bytes of the key's SHA-256, in hex. The key is the
// node's secret, and the same at every hub; the ID is for everybody.
func ID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
