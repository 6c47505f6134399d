package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// Placeholders in the tables of payloads.
const (
	absent  = "absent" // the event has no payload
	nothing = "–"      // no event arrives
	sender  = "ID"     // in the place of the emitting node's ID
)

// payloadTable says how the payloads of one emitter arrive. It leaves out the events that the emitter's own listeners
// receive without the hub.
type payloadTable struct {
	hub   kind
	from  kind
	asHub bool // the hub itself emits; from is its kind
	rows  []payloadRow
}

// payloadRow is one payload. The columns node and ours also apply to the hub.
type payloadRow struct {
	emitted string
	node    string // at other nodes of the original mesh
	ours    string // at other nodes of ours
	back    string // at the emitter, if the hub sends the event back
}

var payloadTables = []payloadTable{
	{hub: nodeKind, from: nodeKind, asHub: true, rows: []payloadRow{
		{`{"n":1}`, `{"n":1}`, `{"n":1}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"mine","n":1}`, `{"id":"mine","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, nothing},
		{`""`, `""`, `""`, nothing},
		{`7`, `7`, `7`, nothing},
		{`0`, `0`, `0`, nothing},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567000`, nothing},
		{`true`, `true`, `true`, nothing},
		{`false`, `false`, `false`, nothing},
		{`null`, `null`, `null`, nothing},
		{absent, absent, absent, nothing},
	}},
	{hub: nodeKind, from: nodeKind, rows: []payloadRow{
		{`{"n":1}`, `{"n":1,"id":"ID"}`, `{"n":1,"id":"ID"}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"ID","n":1}`, `{"id":"ID","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, `"text"`},
		{`""`, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
		{`7`, `7`, `7`, `7`},
		{`0`, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567000`, `12345678901234567000`},
		{`true`, `true`, `true`, `true`},
		{`false`, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
		{`null`, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
		{absent, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
	}},
	{hub: nodeKind, from: goKind, rows: []payloadRow{
		{`{"n":1}`, `{"n":1,"id":"ID"}`, `{"n":1,"id":"ID"}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"ID","n":1}`, `{"id":"ID","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, `"text"`},
		{`""`, `""`, `""`, `""`},
		{`7`, `7`, `7`, `7`},
		{`0`, `0`, `0`, `0`},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567000`, `12345678901234567000`},
		{`true`, `true`, `true`, `true`},
		{`false`, `false`, `false`, `false`},
		{`null`, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
		{absent, `{"id":"ID"}`, `{"id":"ID"}`, nothing},
	}},
	{hub: goKind, from: goKind, asHub: true, rows: []payloadRow{
		{`{"n":1}`, `{"n":1}`, `{"n":1}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"mine","n":1}`, `{"id":"mine","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, nothing},
		{`""`, `""`, `""`, nothing},
		{`7`, `7`, `7`, nothing},
		{`0`, `0`, `0`, nothing},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567890`, nothing},
		{`true`, `true`, `true`, nothing},
		{`false`, `false`, `false`, nothing},
		{`null`, `null`, `null`, nothing},
		{absent, absent, absent, nothing},
	}},
	{hub: goKind, from: nodeKind, rows: []payloadRow{
		{`{"n":1}`, `{"n":1,"id":"ID"}`, `{"n":1}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"ID","n":1}`, `{"id":"mine","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, nothing},
		{`""`, `{"id":"ID"}`, `{}`, nothing},
		{`7`, `7`, `7`, nothing},
		{`0`, `{"id":"ID"}`, `{}`, nothing},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567000`, nothing},
		{`true`, `true`, `true`, nothing},
		{`false`, `{"id":"ID"}`, `{}`, nothing},
		{`null`, `{"id":"ID"}`, `{}`, nothing},
		{absent, `{"id":"ID"}`, `{}`, nothing},
	}},
	{hub: goKind, from: goKind, rows: []payloadRow{
		{`{"n":1}`, `{"n":1,"id":"ID"}`, `{"n":1}`, nothing},
		{`{"id":"mine","n":1}`, `{"id":"ID","n":1}`, `{"id":"mine","n":1}`, nothing},
		{`[1,2]`, `[1,2]`, `[1,2]`, nothing},
		{`"text"`, `"text"`, `"text"`, nothing},
		{`""`, `""`, `""`, nothing},
		{`7`, `7`, `7`, nothing},
		{`0`, `0`, `0`, nothing},
		{`12345678901234567890`, `12345678901234567000`, `12345678901234567890`, nothing},
		{`true`, `true`, `true`, nothing},
		{`false`, `false`, `false`, nothing},
		{`null`, `null`, `null`, nothing},
		{absent, absent, absent, nothing},
	}},
}

// title returns the heading of the table in the documentation.
func (p payloadTable) title() string {
	if p.asHub {
		return fmt.Sprintf("From a %s hub", p.hub)
	}
	return fmt.Sprintf("From a %s client over a %s hub", p.from, p.hub)
}

// TestPayloadsArriveAsWrittenDown connects two clients of each kind to each kind of hub, so that each emitter has
// another client of its kind.
func TestPayloadsArriveAsWrittenDown(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			kinds := []kind{nodeKind, nodeKind, goKind, goKind}
			s := startStar(t, hub, kinds, "event")
			members, kinds := append([]member{s.hub}, s.clients...), append([]kind{hub}, kinds...)
			for _, table := range payloadTables {
				if table.hub != hub {
					continue
				}
				t.Run(table.title(), func(t *testing.T) {
					at := 0
					if !table.asHub {
						at = 1 + slices.Index(kinds[1:], table.from)
					}
					table.require(t, s, members, kinds, at)
				})
			}
		})
	}
}

// require makes one of the members emit each payload, and compares the arrivals with the table. The members are the hub
// and then its clients.
func (p payloadTable) require(t *testing.T, s *star, members []member, kinds []kind, at int) {
	t.Helper()
	id := p.identify(t, s, members, at)
	for _, row := range p.rows {
		heard := s.round(t, members[at], "event", strings.TrimSuffix(row.emitted, absent))
		var got, want []string
		for i, events := range heard {
			column := row.node
			switch {
			case i == at:
				events, column = withoutOwn(t, members[at], events), row.back
			case kinds[i] == goKind:
				column = row.ours
				p.requireFrom(t, id, events)
			}
			want = append(want, fmt.Sprintf("%d %s: %s", i, kinds[i], column))
			got = append(got, fmt.Sprintf("%d %s: %s", i, kinds[i], arrival(events, id)))
		}
		require.Empty(t, cmp.Diff(want, got), "of %s", row.emitted)
	}
}

// withoutOwn removes the event that the emitter's own listener received without the hub. At a Go node another goroutine
// calls the listener, so an event that comes back from the hub may be first.
func withoutOwn(t *testing.T, emitter member, events []Event) []Event {
	t.Helper()
	own := 0
	if m, ok := emitter.(goMember); ok {
		own = slices.IndexFunc(events, func(ev Event) bool { return ev.From == m.ID() })
	}
	require.True(t, 0 <= own && own < len(events), "the emitter's own listener")
	return slices.Delete(events, own, own+1)
}

// identify returns the ID by which the other nodes know a member. Nodes of the original mesh learn it from payloads
// only, and a hub does not write its own ID into payloads.
func (p payloadTable) identify(t *testing.T, s *star, members []member, at int) string {
	t.Helper()
	m, isGo := members[at].(goMember)
	if p.asHub {
		if isGo {
			return m.ID()
		}
		return ""
	}
	var payload struct{ ID string }
	other := slices.IndexFunc(s.clients, func(c member) bool {
		_, isNode := c.(nodeMember)
		return isNode && c != members[at]
	})
	heard := s.round(t, members[at], "event", `{}`)
	require.NoError(t, json.Unmarshal(heard[1+other][0].Payload, &payload))
	require.NotEmpty(t, payload.ID)
	if p.hub == goKind && isGo {
		require.Equal(t, m.ID(), payload.ID)
	}
	return payload.ID
}

// requireFrom checks the sender of events at a node of ours.
func (p payloadTable) requireFrom(t *testing.T, id string, events []Event) {
	t.Helper()
	for _, ev := range events {
		want := id
		if p.hub == nodeKind { // our node knows only the sender that the payload names
			var payload struct{ ID string }
			_ = json.Unmarshal(ev.Payload, &payload) // fails if it is no object
			want = payload.ID
		}
		require.Equal(t, want, ev.From, "with payload %s", ev.Payload)
	}
}

// arrival returns the payloads that a member received, in the form of the tables.
func arrival(events []Event, id string) string {
	if len(events) == 0 {
		return nothing
	}
	var all []string
	for _, ev := range events {
		payload := absent
		if ev.Payload != nil {
			payload = string(ev.Payload)
		}
		if id != "" {
			payload = strings.ReplaceAll(payload, strconv.Quote(id), strconv.Quote(sender))
		}
		all = append(all, payload)
	}
	return strings.Join(all, " and ")
}

// markdown returns the table as it is in the documentation.
func (p payloadTable) markdown() string {
	cell := func(s string) string {
		if s == absent || s == nothing {
			return s
		}
		return "`" + s + "`"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", p.title())
	b.WriteString("| emitted | at Node.js nodes | at Go nodes | back at the emitter |\n|---|---|---|---|\n")
	for _, r := range p.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(r.emitted), cell(r.node), cell(r.ours), cell(r.back))
	}
	return b.String()
}

func TestPayloadsAreWrittenDownInTheDocumentation(t *testing.T) {
	t.Parallel()
	const name = "../docs/node-interop.md"
	page, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, table := range payloadTables {
		require.Contains(t, string(page), table.markdown(), "%s lacks this table, or has another", name)
	}
}
