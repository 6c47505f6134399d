package packet_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rev3 = packet.Revision3
	rev4 = packet.Revision4
)

func text(s string) packet.Packet { return control(packet.Message, s) }

func control(t packet.Type, s string) packet.Packet {
	if s == "" {
		return packet.Packet{Type: t}
	}
	return packet.Packet{Type: t, Data: []byte(s)}
}

func binary(b ...byte) packet.Packet {
	return packet.Packet{Type: packet.Message, Binary: true, Data: b}
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func samePacket(a, b packet.Packet) bool {
	return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data)
}

func requireSyntaxError(t *testing.T, err error, cause error, offset int) {
	t.Helper()
	require.ErrorIs(t, err, cause)
	var syntax *packet.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Equal(t, offset, syntax.Offset)
}

func TestSyntaxErrorNamesCauseAndOffset(t *testing.T) {
	_, err := packet.ParsePayload(rev4, packet.Text, []byte("4a\x1e7"))
	require.EqualError(t, err, "engineio: invalid packet type at offset 3")
}
