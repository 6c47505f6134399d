//go:build soak

package engineio_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// Ten times the input takes ten times as long, not a hundred times.
// Advisories: CVE-2021-32640
func TestHandshakeHeadersTakeLinearTime(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: true})
	for _, unit := range []string{" ", ",", ";", "a;", "a,", ";a=b", "permessage-deflate;", `"`, `\`, `a="\`, "permessage-deflate,", "permessage-deflate; x=\""} {
		for _, name := range []string{"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} {
			best := func(size int) time.Duration {
				least := time.Hour
				for range 2 {
					start := time.Now()
					resp, wc := ts.handshake("EIO=4&transport=websocket", name, "a"+strings.Repeat(unit, size/len(unit))+"b")
					require.NoError(t, resp.err)
					least = min(least, time.Since(start))
					require.NoError(t, wc.conn.Close())
				}
				return least
			}
			const noise = 100 * time.Millisecond // of a busy machine; a quadratic parser takes many seconds
			require.Less(t, best(200_000), 30*max(best(20_000), noise), "%s: %q", name, unit)
		}
	}
}
