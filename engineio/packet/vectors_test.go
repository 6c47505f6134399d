package packet_test

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/packet"
)

// What engine.io-parser 1.1.0, 1.3.2, 2.2.1 and 5.2.3 write, made by interop/node/vectors.
//
//go:embed testdata/vectors.json
var vectorsJSON []byte

type vectors struct {
	Cases   map[string][]vectorPacket
	Vectors []vector
}

type vectorPacket struct {
	Type   string
	Binary bool
	Data   []byte
}

type vector struct {
	Parser   string
	Revision packet.Revision
	Form     string // "packet" or "payload"
	Encoding string // "text", "texttwice" or "binary"
	Case     string
	Wire     []byte
}

// encode is what ours writes for the packets of v.
func (v vector) encode(ps []packet.Packet) []byte {
	switch {
	case v.Form == "payload":
		return packet.AppendPayload(nil, v.Revision, v.encoding(), ps...)
	case v.Encoding == "binary":
		return packet.AppendBinary(nil, v.Revision, ps[0])
	default:
		return packet.AppendText(nil, v.Revision, ps[0])
	}
}

// decode is what ours reads from the wire of v.
func (v vector) decode() ([]packet.Packet, error) {
	if v.Form == "payload" {
		return packet.ParsePayload(v.Revision, v.encoding(), v.Wire)
	}
	parse := packet.ParseText
	if v.Encoding == "binary" {
		parse = packet.ParseBinary
	}
	p, err := parse(v.Revision, v.Wire)
	return []packet.Packet{p}, err
}

func (v vector) encoding() packet.Encoding {
	return map[string]packet.Encoding{"text": packet.Text, "texttwice": packet.TextTwice, "binary": packet.Binary}[v.Encoding]
}

func readVectors(t *testing.T) (cases map[string][]packet.Packet, _ []vector) {
	t.Helper()
	var file vectors
	require.NoError(t, json.Unmarshal(vectorsJSON, &file))
	names := []string{"open", "close", "ping", "pong", "message", "upgrade", "noop"}
	cases = map[string][]packet.Packet{}
	for name, ps := range file.Cases {
		for _, p := range ps {
			digit := slices.Index(names, p.Type)
			require.NotEqual(t, -1, digit, p.Type)
			cases[name] = append(cases[name], packet.Packet{Type: packet.Type(digit), Binary: p.Binary, Data: p.Data})
		}
	}
	return cases, file.Vectors
}

// Each reference writes exactly what ours writes for some form, so there is none that is only read. What 1.1.0 does to
// binary data on a Node newer than itself is not among the vectors: it encodes the memory around it.
func TestVectorsOfTheReferences(t *testing.T) {
	cases, vectors := readVectors(t)
	for _, v := range vectors {
		t.Run(strings.Join([]string{v.Parser, v.Form, v.Encoding, v.Case}, "/"), func(t *testing.T) {
			want := cases[v.Case]
			require.NotEmpty(t, want)
			require.Equal(t, string(v.Wire), string(v.encode(want)))

			got, err := v.decode()
			require.NoError(t, err)
			require.True(t, slices.EqualFunc(want, got, samePacket), "%s", cmp.Diff(want, got))
		})
	}
}

// A vector of the wrong dialect is either refused or read as other text, never as the same.
func TestVectorsInTheWrongDialect(t *testing.T) {
	cases, vectors := readVectors(t)
	checked := 0
	for _, v := range vectors {
		want := cases[v.Case]
		once, twice := "text", "texttwice"
		ascii := !slices.ContainsFunc(want, func(p packet.Packet) bool {
			return !p.Binary && strings.ContainsFunc(string(p.Data), func(r rune) bool { return r > 0x7F })
		})
		if v.Revision != rev3 || v.Form != "payload" || (v.Encoding != once && v.Encoding != twice) {
			continue
		}
		if v.Encoding == once {
			v.Encoding = twice
		} else {
			v.Encoding = once
		}
		got, err := v.decode()
		same := err == nil && slices.EqualFunc(want, got, samePacket)
		require.Equal(t, ascii, same, "%s of %s", v.Case, v.Parser)
		checked++
	}
	require.NotZero(t, checked)
}
