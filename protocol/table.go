package protocol

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// EventTable holds the subscriptions of a peer. A key is a name or pattern in its form on the wire, see TableName. The
// value is false for an event that the peer handles only locally: a hub never sends it there.
type EventTable map[string]bool

// tablePrefix precedes the names of subscriptions on the mesh itself, rather than on a resource.
const tablePrefix = "mesh::"

// ParseEventTable parses an event table by the rules of the original's hub. Of members with the same key the last one
// counts. A value that is not an object, or is null, means no subscription and is left out; an array counts as an
// object. An event is for others unless remote is the literal false. Keys that no event can have are left out too:
// empty keys, keys beyond MaxName, and keys with half a surrogate pair. The table of null is nil.
//
// The error is a *SyntaxError, also beyond MaxTableBytes and MaxTableEntries.
func ParseEventTable(b []byte) (EventTable, error) {
	if len(b) > MaxTableBytes {
		return nil, &SyntaxError{Offset: MaxTableBytes, Err: errTableSize}
	}
	v := text(b)
	at := v.space(0)
	if at >= len(v) || v[at] != '{' {
		err := v.otherThan(at, MaxDepth-1, errTableType)
		if at < len(v) && v[at] == 'n' && errors.Is(err, errTableType) {
			return nil, nil // null
		}
		return nil, err
	}
	var (
		t = EventTable{}
		o = objectAt(v, at, MaxDepth-1)
		m member
	)
	for n := 0; ; n++ {
		ok, err := o.next(&m)
		if err != nil {
			return nil, err
		}
		if !ok {
			if err = v.end(o.i + 1); err != nil {
				return nil, err
			}
			return t, nil
		}
		if n == MaxTableEntries {
			return nil, &SyntaxError{Offset: m.valueAt(), Err: errEntries}
		}
		t.set(&m)
	}
}

// set applies the member m to t.
func (t EventTable) set(m *member) {
	key := ""
	if m.escaped {
		key, _ = decodeEscaped(m.key, len(tablePrefix)+MaxName, "")
	} else if len(m.key) <= len(tablePrefix)+MaxName {
		key = string(m.key)
	}
	if name := TableName(key); name == "" || len(name) > MaxName {
		return
	}
	switch m.value[0] {
	case '[':
		t[key] = true
	case '{':
		remote := true
		var field member
		for o := objectAt(m.value, 0, MaxDepth); o.more(&field); {
			if field.is("remote") {
				remote = field.value[0] != 'f'
			}
		}
		t[key] = remote
	default:
		delete(t, key)
	}
}

// AppendTo appends the JSON of t to dst, sorted by key: {"mesh::a":{"remote":true}}.
func (t EventTable) AppendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(t)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, key, false)
		if t[key] {
			dst = append(dst, `:{"remote":true}`...)
		} else {
			dst = append(dst, `:{"remote":false}`...)
		}
	}
	return append(dst, '}')
}

// TableName returns the event name or pattern of a key of an event table: X for mesh::X, and the key itself for any
// other key.
func TableName(key string) string { return strings.TrimPrefix(key, tablePrefix) }
