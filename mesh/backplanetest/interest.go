package backplanetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/protocol"
)

// patterns have asterisks in all positions.
var patterns = []string{
	"a", "a::b", "a::b::c", "$x::y",
	"*", "a::*", "*::b", "a::*::c", "*::*", "*::*::*",
	"**", "a::**", "**::b", "a::**::c", "a::b::**", "**::b::**", "*::**", "**::*", "a::**::b::*", "**::x::**::y", "a::*::**::c",
	"::*", "a::", "a::::**", "**::",
}

// names contains names that some of the patterns match, and names that no pattern except those with only asterisks
// matches.
var names = []string{
	"a", "b", "ab", "A", "a::b", "a::c", "b::b", "b::a", "a::b::c", "a::x::c", "a::b::b", "a::x::y::c", "x::b", "x::y::b", "a::x::b::c",
	"x::y", "x::a::y", "a::x::b::y", "d::e::f::g", "$x::y", "$x::z", "::", "::b", "a::", "a::::", "a::::b", "a:b", "a:::b", ":",
}

// matching returns the names that at least one of the patterns matches.
func matching(patterns ...string) []string {
	out := []string{}
	for _, name := range names {
		if slices.ContainsFunc(patterns, func(pattern string) bool { return protocol.Match(pattern, name) }) {
			out = append(out, name)
		}
	}
	return out
}

// sayNames publishes a message under each of the names, and returns when all members have received the messages.
func (w *world) sayNames(m *member) {
	w.t.Helper()
	w.sayEach(m, names)
}

// sayEach publishes each name as a message under itself, and returns when all members have received the messages.
func (w *world) sayEach(m *member, all []string) {
	w.t.Helper()
	for i, name := range all {
		m.say(name, name)
		if i%window == window-1 {
			w.settle()
		}
	}
	w.settle()
}

// requireHeard checks that a member received each matching name once, in order. For a pattern, a backplane may deliver
// further names.
func requireHeard(t *testing.T, heard []string, patterns ...string) {
	t.Helper()
	want := matching(patterns...)
	extra := slices.DeleteFunc(slices.Clone(heard), func(name string) bool { return slices.Contains(want, name) })
	required := slices.DeleteFunc(slices.Clone(heard), func(name string) bool { return !slices.Contains(want, name) })
	require.Equal(t, want, required, "%q", patterns)
	if !strings.Contains(strings.Join(patterns, " "), "*") {
		require.Empty(t, extra, "%q", patterns)
	}
	require.Subset(t, names, heard)
}

func testInterest(t *testing.T, w *world) {
	all := w.join(3)
	publisher, listener, deaf := all[0], all[1], all[2]
	for _, pattern := range patterns {
		require.NotEmpty(t, matching(pattern), pattern)
		listener.Subscribe(pattern)
		w.settle()
		w.sayNames(publisher)
		requireHeard(t, listener.texts(), pattern)
		listener.Unsubscribe(pattern)
		w.settle()
		w.sayNames(publisher)
		require.Empty(t, listener.texts(), "unsubscribed from %q", pattern)
	}
	require.Empty(t, deaf.texts(), "without a subscription")
	require.Empty(t, publisher.texts(), "without a subscription")

	// Several subscriptions at once, at two members.
	listener.Subscribe("a::b", "b::b")
	deaf.Subscribe("a::b")
	w.settle()
	w.sayNames(publisher)
	require.Equal(t, []string{"a::b", "b::b"}, listener.texts())
	got := deaf.take()
	require.Equal(t, []message{{publisher.id, "a::b"}}, got)
	listener.Unsubscribe("a::b", "b::b")
	w.settle()
	w.sayNames(publisher)
	require.Empty(t, listener.texts())
	require.Equal(t, []string{"a::b"}, deaf.texts())
}

func testOverlap(t *testing.T, w *world) {
	all := w.join(2)
	publisher, listener := all[0], all[1]
	listener.Subscribe(patterns...)
	w.settle()
	w.sayNames(publisher)
	requireHeard(t, listener.texts(), patterns...)

	// Unsubscribe one pattern after another. The others must not change.
	for left := slices.Clone(patterns); len(left) > 0; {
		listener.Unsubscribe(left[0])
		left = left[1:]
		if len(left)%4 != 0 {
			continue
		}
		w.settle()
		w.sayNames(publisher)
		requireHeard(t, listener.texts(), left...)
	}
	require.Empty(t, matching())

	// Subscribe again.
	listener.Subscribe("a::*", "a::b", "a::**")
	w.settle()
	w.sayNames(publisher)
	requireHeard(t, listener.texts(), "a::**")
	listener.Unsubscribe("a::**", "a::*")
	w.settle()
	w.sayNames(publisher)
	requireHeard(t, listener.texts(), "a::b")
}

func testOwnNames(t *testing.T, w *world) {
	all := w.join(3)
	publisher, listener, insider := all[0], all[1], all[2]
	listener.Subscribe("**", "*", "$x::*", "**::*", "*::**")
	insider.Subscribe("$own", "$own.a>", "$*")
	w.settle()
	for _, name := range []string{"$own", "$", "$own.a>", "$own.a", "$*", "$other", "$own::event", "event"} {
		publisher.say(name, name)
	}
	w.settle()
	require.Equal(t, []string{"$own::event", "event"}, listener.texts())
	require.Equal(t, []string{"$own", "$own.a>", "$*"}, insider.texts())
	insider.Unsubscribe("$own")
	w.settle()
	publisher.say("$own", "")
	w.settle()
	require.Empty(t, insider.texts())
}

// testNoEcho has no check of the senders, because every member checks that it does not receive its own messages.
func testNoEcho(t *testing.T, w *world) {
	all := w.join(3)
	for _, m := range all {
		m.Subscribe("e", "*", "**", "$own")
	}
	w.settle()
	for _, m := range all {
		for range 10 {
			m.say("e", "e")
			m.say("a::b", "a::b")
			m.say("$own", "$own")
		}
	}
	w.settle()
	for _, m := range all {
		require.Len(t, m.take(), 60)
	}
}
