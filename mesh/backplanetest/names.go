package backplanetest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/protocol"
)

// oddNames returns different valid names, of events and of hubs.
func oddNames() []string {
	longest := protocol.MaxName
	odd := []string{
		"a", "A", " ", "  ", "a b", "ab", "a\r\nb", "a\nb", "a\rb", "\r\n", "\x00", "a\x00b", "\t", "a\tb", "\v", "\f", "\x7f", "\x1b[2J",
		".", "..", "a.b", "a..b", ".a", "a.", ">", "a>", "a.>", ">.a", "a::>", "a::>::b", "a::b", "a::.", "a:::b", "a::::b", "a:b", ":", "::", ":::", "a::", "::a",
		"%", "%%", "%2E", "%2e", "a%2Eb", "=2E", "\\.", "\\", "/", "a/b", "_", "-", "+", "#", "~", "$x::y", "$", "$$", "$hubs", "$hubs.a", "%24hubs",
		"é", "e\u0301", "ü::é", "😀", "\u00a0", "\u2028", "\u200b", "\ufeff", "\ufffd", "\U0010ffff", "mesh", "e", "_INBOX.x", "PUB x 1", "\"", "{}", "?", "[a]",
	}
	for _, part := range []string{"x", "\x01", ".", "é", "😀"} {
		odd = append(odd, strings.Repeat(part, longest/len(part)))
	}
	for _, part := range []string{"::", "a::"} {
		odd = append(odd, strings.Repeat(part, protocol.MaxParts-1))
	}
	return append(odd, strings.Repeat("x", longest-1)+"y", strings.Repeat("\x01", longest-1)+"\x02", strings.Repeat("x", longest-1))
}

func testAnyName(t *testing.T, w *world) {
	all := w.join(2)
	publisher, listener := all[0], all[1]
	odd := oddNames()

	// Subscribe to one name at a time: the member must receive no other name.
	for _, name := range odd {
		listener.Subscribe(name)
		w.settle()
		w.sayEach(publisher, odd)
		require.Equal(t, []string{name}, listener.texts())
		listener.Unsubscribe(name)
	}

	// Subscribe to all of them at once, and to patterns.
	listener.Subscribe(odd...)
	listener.Subscribe("**", "*", "a::*", "**::b")
	w.settle()
	w.sayEach(publisher, odd)
	require.Equal(t, odd, listener.texts())
}

func testAnyData(t *testing.T, w *world) {
	all := w.join(3)
	publisher, listeners := all[0], all[1:]
	for _, m := range listeners {
		m.Subscribe("data", "*")
	}
	w.settle()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, data := range [][]byte{
		nil, {}, {0}, {'\n'}, []byte("\r\n.\r\nPUB x 1\r\n"), every, payload(4095), payload(4096), payload(70_000), payload(1_000_100),
	} {
		require.NoError(t, publisher.Publish("data", bytes.Clone(data), nil))
		w.settle()
		for _, m := range listeners {
			got := m.take()
			require.Len(t, got, 1)
			require.Equal(t, publisher.id, got[0].from)
			if got[0].data != string(data) { // the data is too long to print
				require.Fail(t, "data arrived changed", "%d bytes as %d", len(data), len(got[0].data))
			}
		}
	}
}
