package protocol

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// EventTable says which events a peer listens to. A key is a name or pattern as the wire has it, see TableName. The
// value is false for an event that the peer keeps for itself: it is never sent there.
type EventTable map[string]bool

// tablePrefix stands before the names to which somebody listens on the mesh itself, rather than on a resource.
const tablePrefix = "mesh::"

// ParseEventTable parses an event table by the rules of the original's hub: of members with the same key the last one
// counts; a value that is no object, or null, means that nobody listens, and is left out, while an array passes for an
// object; an event is for others unless remote is the literal false. Keys that stand for no possible event are left
// out too: empty ones, those beyond MaxName, and those with half a surrogate pair. The table of null is nil.
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

// set takes over what m says.
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

// TableName returns the event name or pattern that a key of an event table stands for: X for mesh::X, any other key
// itself.
func TableName(key string) string { return strings.TrimPrefix(key, tablePrefix) }
