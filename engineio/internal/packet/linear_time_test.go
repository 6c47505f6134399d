//go:build soak

package packet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// Ten times as many packets take ten times as long, not a hundred times. The packets must be tiny, because the large
// number of packets made engine.io slow.
// Advisories: CVE-2020-36048
func TestParsePayloadTakesLinearTime(t *testing.T) {
	for _, form := range forms {
		one := packet.AppendPayload(nil, form.rev, form.enc, text("é"), binary(1))
		best := func(pairs int) time.Duration {
			ps := make([]packet.Packet, 0, 2*pairs)
			for range pairs {
				ps = append(ps, text("é"), binary(1))
			}
			wire := packet.AppendPayload(nil, form.rev, form.enc, ps...)
			require.GreaterOrEqual(t, len(wire), pairs*len(one))
			least := time.Hour
			for range 10 {
				start := time.Now()
				got, err := packet.ParsePayload(form.rev, form.enc, wire)
				least = min(least, time.Since(start))
				require.NoError(t, err)
				require.Len(t, got, 2*pairs)
			}
			return least
		}
		few, many := best(packet.MaxPackets/20), best(packet.MaxPackets/2)
		require.Less(t, many, 40*max(few, 100*time.Microsecond), form.name)
	}
}
