package hub

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/protocol"
)

// readTable applies an event table. Clients of the original send their table in every packet, so that most tables are
// equal to the table before, byte for byte.
//
// The result is a version for Others.Await: the other hubs must know the change before the hub processes the peer's
// next packet. It is 0 if the table is unchanged.
func (p *peer) readTable(raw []byte) (version uint64) {
	if bytes.Equal(raw, p.table) {
		return 0
	}
	if len(raw) <= protocol.MaxTableBytes {
		p.setTable(bytes.Clone(raw)) // also if it is invalid, because the next packet would repeat it
	}
	t, err := protocol.ParseEventTable(raw)
	if steps := t.Steps(); steps > protocol.MaxTableSteps {
		err = fmt.Errorf("the patterns of the event table can take %d steps to search for one event, more than %d: "+
			"use fewer patterns with asterisks, or listen to `**` and select events yourself", steps, protocol.MaxTableSteps)
	}
	p.setBadTable(err != nil)
	if err != nil {
		p.rejectTable(err)
		return 0
	}
	var wanted []string
	var optOuts map[string]struct{}
	patterns := false
	for key, remote := range t {
		name := protocol.TableName(key)
		pattern := protocol.IsPattern(name)
		switch {
		case protocol.CheckListen(name) != nil: // such events are never relayed
		case remote:
			wanted = append(wanted, interest.Canonical(name))
			patterns = patterns || pattern
		case !pattern:
			if optOuts == nil {
				optOuts = make(map[string]struct{})
			}
			optOuts[name] = struct{}{}
		}
	}
	// A name can be in the table twice, alone and after "mesh::". One entry with remote:false is enough to exclude it.
	wanted = slices.DeleteFunc(wanted, func(name string) bool { _, kept := optOuts[name]; return kept })
	slices.Sort(wanted)
	if !patterns {
		optOuts = nil
	}
	return p.setInterests(slices.Compact(wanted), optOuts)
}

// setInterests updates the index and the other hubs. A superseded peer has no interests.
func (p *peer) setInterests(wanted []string, optOuts map[string]struct{}) (version uint64) {
	p.indexing.Lock()
	defer p.indexing.Unlock()
	if p.superseded.Load() {
		wanted, optOuts = nil, nil
	}
	if optOuts == nil {
		p.optOuts.Store(nil)
	} else {
		p.optOuts.Store(&optOuts)
	}
	add, remove := difference(p.interests, wanted)
	if len(add)+len(remove) > 0 {
		p.hub.interest.Update(p, add, remove)
		p.noteInterests(wanted)
		version = p.hub.others.Subscribe(add, remove)
	}
	return version
}

// difference returns the elements that are only in b, and the elements that are only in a. Both are sorted and without
// duplicates.
func difference(a, b []string) (add, remove []string) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
		case a[0] < b[0]:
			remove, a = append(remove, a[0]), a[1:]
		default:
			add, b = append(add, b[0]), b[1:]
		}
	}
	return append(add, b...), append(remove, a...)
}
