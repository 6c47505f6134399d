package natsbackplane

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/protocol"
)

func theSubjects(t testing.TB) subjects {
	t.Helper()
	s, err := newSubjects(defaultPrefix)
	require.NoError(t, err)
	return s
}

func TestSubjects(t *testing.T) {
	s := theSubjects(t)
	for name, want := range map[string]string{
		"a": "mesh.e.a", "a::b": "mesh.e.a.b", "a::": "mesh.e.a.=", "::": "mesh.e.=.=", "a.b": "mesh.e.a=2Eb", "a b": "mesh.e.a=20b", "=": "mesh.e.=3D",
		"é": "mesh.e.=C3=A9", "$x::y": "mesh.e.=24x.y", "$hubs": "mesh.h.=24hubs", "$": "mesh.h.=24", "a*": "mesh.e.a=2A", "a:::b": "mesh.e.a.=3Ab", ">": "mesh.e.=3E",
	} {
		require.Equal(t, want, s.of(name))
		require.Equal(t, []string{want}, s.matching(name))
	}
	for pattern, want := range map[string]string{
		"*": "mesh.e.*", "a::*": "mesh.e.a.*", "*::*": "mesh.e.*.*", "$*": "mesh.h.=24=2A", "$x::*": "mesh.e.=24x.*",
		"**": "mesh.e.>", "a::**": "mesh.e.a mesh.e.a.>", "*::**": "mesh.e.* mesh.e.*.>", "**::b": "mesh.e.>", "a::**::b": "mesh.e.a.>", "a::*::**::b": "mesh.e.a.*.>",
		"::**": "mesh.e.= mesh.e.=.>", "a::**::b::**": "mesh.e.a.>",
	} {
		require.Equal(t, strings.Fields(want), s.matching(pattern), pattern)
	}
}

// TestLongestSubject checks that the longest line, "PUB subject answer size", is well below the limit of NATS.
func TestLongestSubject(t *testing.T) {
	s, err := newSubjects(strings.Repeat("p", maxPrefix))
	require.NoError(t, err)
	longest := s.of(strings.Repeat("\x01", protocol.MaxName))
	require.Less(t, len("PUB ")+len(longest)+1+len(s.inboxOf(source{}))+20+1+len("1048576\r\n"), 2000)
	for _, name := range []string{strings.Repeat(":", protocol.MaxName), strings.Repeat("::\x01", protocol.MaxName/3), strings.Repeat("é", protocol.MaxName/2)} {
		require.LessOrEqual(t, len(s.of(name)), len(longest))
	}
}

// FuzzSubjects compares the subjects with the matching of NATS.
// Advisories: secnote 2026-22
func FuzzSubjects(f *testing.F) {
	f.Add("a::b", "a::c", "a::*")
	f.Add("a.b", "a::b", "a::**")
	f.Add("=2E", ".", "**::b")
	f.Add("$x", "$x::", "**")
	f.Add("a:::b", "a::::b", "*::**::*")
	f.Add(">", "*", ">")
	f.Add("a\r\n", "a \x00", "$*")
	f.Fuzz(func(t *testing.T, one, two, pattern string) {
		s := theSubjects(t)
		valid := func(name string) bool {
			return name != "" && len(name) <= protocol.MaxName
		}
		if !valid(one) || !valid(two) || !valid(pattern) {
			return
		}
		of := s.of(one)
		require.True(t, server.IsValidLiteralSubject(of), "%q", of)
		require.False(t, strings.ContainsAny(of, " \t\r\n\f\v\x00*>"), "%q", of)
		require.Equal(t, one == two, of == s.of(two), "%q %q", one, two)
		require.Equal(t, isHubName(one), strings.HasPrefix(of, "mesh.h."))
		if isHubName(pattern) || protocol.CheckListen(pattern) != nil || strings.Contains(pattern, "**::**") {
			return
		}
		matches := 0
		for _, subject := range s.matching(pattern) {
			require.True(t, server.IsValidSubject(subject), "%q", subject)
			if server.SubjectMatchesFilter(of, subject) {
				matches++
			}
		}
		wanted := !isHubName(one) && protocol.Match(pattern, one)
		if wanted {
			require.Positive(t, matches, "%q %q", pattern, one)
		}
		require.LessOrEqual(t, matches, 1, "a pattern's subjects overlap: %q", pattern)
		if at := strings.Index(pattern, "**"); at < 0 || at == len(pattern)-2 {
			require.Equal(t, wanted, matches > 0, "%q %q", pattern, one) // otherwise NATS cannot express the pattern
		}
	})
}

// FuzzParseMessage parses any bytes as a message of another hub.
// Advisories: CVE-2025-61765
func FuzzParseMessage(f *testing.F) {
	self := source{hubID{1, 2, 3}, 4}
	whole := appendMessage(nil, self, 5, []byte("data"))
	f.Add(whole)
	f.Add(whole[:headerSize])
	f.Add(whole[:headerSize-1])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, headerSize))
	f.Fuzz(func(t *testing.T, body []byte) {
		from, number, data, ok := parseMessage(body)
		if !ok {
			return
		}
		require.Positive(t, number)
		require.LessOrEqual(t, number, uint64(maxSeq))
		require.Equal(t, body, appendMessage(nil, from, number, data))
	})
}

func TestLatestForgetsWhoWasSilent(t *testing.T) {
	l := newLastSeq()
	one := source{incarnation: 1}
	require.Zero(t, l.update(one, 5))
	require.EqualValues(t, 5, l.update(one, 5))
	require.EqualValues(t, 5, l.update(one, 3))
	require.EqualValues(t, 5, l.update(one, 6))
	for i := range uint64(maxSources) {
		require.Zero(t, l.update(source{incarnation: 100 + i}, 1))
	}
	require.EqualValues(t, 6, l.update(one, 7), "forgotten too early")
	for i := range uint64(10 * maxSources) {
		require.Zero(t, l.update(source{incarnation: 1_000_000 + i}, 1))
		require.LessOrEqual(t, len(l.cur)+len(l.prev), 2*maxSources)
	}
	require.Zero(t, l.update(one, 8))
}

func TestRequests(t *testing.T) {
	var r requests
	called := 0
	first := r.add(func() { called++ })
	r.take(first)()
	require.Nil(t, r.take(first), "once")
	require.Nil(t, r.take(0))
	require.Nil(t, r.take(first+1))
	require.Nil(t, r.take(first+maxRequests))
	second := r.add(func() { called++ })
	for range maxRequests {
		r.add(func() {})
	}
	require.Nil(t, r.take(second), "too old")
	require.Equal(t, 1, called)
}
