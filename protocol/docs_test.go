package protocol

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The document gives its packets exactly: AppendPacket must write each packet that Parse read there with the same
// bytes.
func TestDocumentedPacketsAreExact(t *testing.T) {
	raw, err := os.ReadFile("../docs/packet-format.md")
	require.NoError(t, err)
	packet := regexp.MustCompile(`(?m)^ *(?:(\d+):)?(4?)(\{"event":.*\})(?:1:[23])?$`)
	found := packet.FindAllStringSubmatch(string(raw), -1)
	require.Greater(t, len(found), 15)
	for _, m := range found {
		length, typ, wire := m[1], m[2], m[3]
		p, err := Parse([]byte(wire))
		require.NoError(t, err, wire)
		require.Equal(t, wire, string(AppendPacket(nil, &p, true)))
		if length != "" {
			require.Equal(t, length, strconv.Itoa(len(typ+wire)), wire)
		}
	}

	table := regexp.MustCompile(`(?m)^(\{"mesh::.*\})$`).FindSubmatch(raw)
	require.NotNil(t, table)
	got, err := ParseEventTable(table[1])
	require.NoError(t, err)
	require.Equal(t, EventTable{"mesh::pong1": true, "creature::talk": true, "http::listen": false}, got)

	identity := regexp.MustCompile(`(?m)^key  (\w+)\nID   (\w+)$`).FindSubmatch(raw)
	require.NotNil(t, identity)
	require.Equal(t, string(identity[2]), ID(string(identity[1])))
}

func TestDocumentedPatternsAreRight(t *testing.T) {
	raw, err := os.ReadFile("../docs/packet-format.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([^`]*\\*[^`]*)` \\| (.*) \\| (.*) ?\\|$").FindAllStringSubmatch(string(raw), -1)
	require.Len(t, rows, 6)
	names := regexp.MustCompile("`([^`]+)`")
	for _, row := range rows {
		for i, want := range map[int]bool{2: true, 3: false} {
			for _, name := range names.FindAllStringSubmatch(row[i], -1) {
				require.Equal(t, want, Match(row[1], name[1]), "%s %s", row[1], name[1])
			}
		}
	}
}

func TestDocumentedLimitsAreRight(t *testing.T) {
	raw, err := os.ReadFile("../docs/packet-format.md")
	require.NoError(t, err)
	for name, want := range map[string]int{
		"MaxPacket": MaxPacket, "MaxDepth": MaxDepth, "MaxName": MaxName, "MaxTableBytes": MaxTableBytes,
		"MaxTableEntries": MaxTableEntries, "MaxID": MaxID, "MaxKey": MaxKey, "MaxCredential": MaxCredential,
		"MaxParts": MaxParts, "MaxTableSteps": MaxTableSteps,
	} {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| ([0-9,]+)").FindSubmatch(raw)
		require.NotNil(t, row, name)
		require.Equal(t, strconv.Itoa(want), strings.ReplaceAll(string(row[1]), ",", ""), name)
	}
}
