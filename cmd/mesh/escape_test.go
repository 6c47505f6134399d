package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// controlRunes has characters of each kind that a terminal interprets or does not show.
var controlRunes = map[string][]rune{
	"C0": {0, 7, 8, '\r', 0x1b, 0x7f}, "C1": {0x80, 0x85, 0x9b, 0x9f},
	"directions":          {0x061c, 0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069},
	"no width":            {0x00ad, 0x034f, 0x180e, 0x200b, 0x200c, 0x200d, 0x2060, 0x2064, 0x206f, 0xfeff, 0xfff9},
	"spaces":              {0x00a0, 0x1680, 0x2000, 0x200a, 0x202f, 0x205f, 0x3000, 0x2800},
	"lines":               {0x2028, 0x2029},
	"variation selectors": {0x180b, 0x180f, 0xfe00, 0xfe0f, 0xe0100, 0xe01ef},
	"fillers":             {0x115f, 0x1160, 0x17b4, 0x3164, 0xffa0},
	"tags":                {0xe0001, 0xe0020, 0xe007f},
	"private, unassigned": {0xe000, 0xf0000, 0x0378, 0xe0fff, 0x10ffff},
}

func TestEscapeShowsHiddenCharacters(t *testing.T) {
	for kind, runes := range controlRunes {
		for _, r := range runes {
			text := fmt.Sprintf("a%cb", r)
			shown := escape([]byte(text))
			require.Regexp(t, `^a(\\u[0-9a-f]{4}){1,2}b$`, string(shown), "%s, %U", kind, r)
			require.NotEqual(t, printable("ab"), string(escape([]byte(printable(text)))), "%s, %U", kind, r)
			require.False(t, bytes.ContainsFunc(escape([]byte(printable(text))), isControl), "%s, %U", kind, r)
		}
	}
	for _, text := range []string{"a b\tc\n", "Zürich", "日本語", "עברית", "é", "e\u0301", "👍", "�", "नमस्ते", `\u200b`} {
		require.Equal(t, text, string(escape([]byte(text))))
	}
	require.Equal(t, `a\ufffdb`, string(escape([]byte("a\xffb"))))
	require.NotEqual(t, printable("a\u200bb"), printable(`a\u200bb`), "the escape as such is another name")
}

// TestEscapedJSONIsTheSameJSON tries every character.
func TestEscapedJSONIsTheSameJSON(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || !isControl(r) && r > 0x3000 {
			continue
		}
		want := string(r) + `\` + string(r)
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(want))
		var got string
		shown := escape(b.Bytes())
		if err := json.Unmarshal(shown, &got); err != nil || got != want {
			require.Fail(t, "another JSON", "%U: %s, %v", r, shown, err)
		}
	}
}

// TestHiddenCharactersInAllOutput runs a node whose names have hidden characters, and reads the output of the commands.
func TestHiddenCharactersInAllOutput(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "**")
	url := hub.is().url
	odd := ""
	for _, runes := range controlRunes {
		odd += string(runes[len(runes)-1])
	}
	node, err := mesh.Connect(t.Context(), &mesh.Options{Addr: url, Name: "name" + odd})
	require.NoError(t, err)
	defer node.Close()
	node.On("interest"+odd, func(mesh.Event) {})
	require.NoError(t, node.Emit("event"+odd, "payload"+odd))
	require.NoError(t, node.Flush(t.Context()))
	e := hub.hears()
	require.Equal(t, "event"+odd, e.Event)
	require.False(t, strings.ContainsFunc(hub.Seen.String(), isControl))
	check := func(args ...string) {
		stdout, stderr, _ := execute(t, nil, append(args, "--addr", url)...)
		require.False(t, bytes.ContainsFunc([]byte(stdout+stderr), isControl), "%q: %q %q", args, stdout, stderr)
		require.Contains(t, stdout+stderr, `\u`, args)
	}
	check("nodes")
	check("nodes", "--json")
	check("explain", node.ID(), "event"+odd)
	check("explain", "--json", node.ID(), "event"+odd)
	check("explain", "nobody"+odd, "event"+odd)
	check("emit", "*x"+odd, "1")
	check("emit", "x", "1", "--nosuch"+odd)
}
