package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// inTheBubble connects a client to a hub of serveInMemory.
func inTheBubble(t *testing.T, network *meshtest.Network) *mesh.Node {
	n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: "http://mesh", HTTPClient: network.Client, Transports: []engineio.Transport{engineio.Polling}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func TestEventsBeyondTheRateAreDropped(t *testing.T) {
	for name, rate := range map[string]mesh.Rate{
		"events": {Events: 10, EventBurst: 30},
		"bytes":  {Bytes: 10_000, ByteBurst: 30_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs meshtest.Log
				hub, network := serveInMemory(t, mesh.Options{Rate: rate, Logger: logs.Logger()})
				n, innocent := inTheBubble(t, network), inTheBubble(t, network)
				payload := `"` + strings.Repeat("x", 1000-len(`{"event":"e","payload":""}`)) + `"`
				emit := func(n *mesh.Node, times int) (taken, refused uint64) {
					before := hub.Stats()
					for range times {
						require.NoError(t, n.Emit("e", json.RawMessage(payload)))
					}
					require.NoError(t, n.Flush(t.Context()))
					after := hub.Stats()
					return after.Received - before.Received, after.RateLimited - before.RateLimited
				}
				taken, refused := emit(n, 100)
				require.InDelta(t, 30, taken, 1, "the burst")
				require.Equal(t, 100-taken, refused)
				taken, _ = emit(innocent, 20)
				require.EqualValues(t, 20, taken)
				time.Sleep(time.Second)
				taken, _ = emit(n, 100)
				require.InDelta(t, 10, taken, 1, "the events of one second")
				time.Sleep(time.Minute)
				taken, _ = emit(n, 100)
				require.InDelta(t, 30, taken, 1, "no more than may come at once")

				require.LessOrEqual(t, strings.Count(logs.String(), "rule=rate-limited"), 3, "a line a second")
				require.Contains(t, logs.String(), "rule=rate-limited")
				time.Sleep(time.Second)
				require.Positive(t, n.Stats().RejectedByHub, "the client was informed")
				require.Zero(t, innocent.Stats().RejectedByHub)
			})
		})
	}
}

func TestTablesBeyondTheRateWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, network := serveInMemory(t, mesh.Options{Rate: mesh.Rate{Bytes: 1000, ByteBurst: 10_000}})
		n := inTheBubble(t, network)
		start := time.Now()
		for i := range 20 {
			n.On(fmt.Sprint(i, strings.Repeat("x", 500)), func(mesh.Event) {})
			require.NoError(t, n.Flush(t.Context()))
		}
		waited := time.Since(start)
		require.Greater(t, waited, 60*time.Second, "the tables have some 100 KB together")
		all, err := hub.Nodes(t.Context())
		require.NoError(t, err)
		require.Equal(t, 20, len(all[1].Interests)+all[1].More, "and none was lost")
	})
}

func TestEachRejectionHasARuleACounterAndALogLine(t *testing.T) {
	var logs meshtest.Log
	hub := listen(t, mesh.Options{
		Logger: logs.Logger(), Rate: mesh.Rate{Events: 1, EventBurst: 2},
		Permit: func(_ mesh.PeerInfo, _ mesh.Action, event string) bool { return event != "denied" },
	})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send("{", `{"event":"$x"}`, `{"event":"handshake","eventTable":[]}`, `{"event":"denied"}`)
	for hub.Stats().RateLimited == 0 { // each second permits one more event
		w.Send(`{"event":"a"}`)
		w.Barrier()
	}
	s := hub.Stats()
	for rule, count := range map[mesh.Rule]uint64{
		"malformed": s.Malformed, protocol.RuleReserved: s.Reserved, protocol.RuleBadTable: s.BadTables, protocol.RuleMayNotEmit: s.NotPermitted,
		"rate-limited": s.RateLimited,
	} {
		require.EqualValues(t, 1, count, rule)
		require.Equal(t, 1, strings.Count(logs.String(), "rule="+string(rule)), string(rule))
	}
	for range 1000 {
		w.Send("{")
	}
	w.Barrier()
	require.EqualValues(t, 1001, hub.Stats().Malformed)
	require.Less(t, strings.Count(logs.String(), "rule=malformed"), 15, "a flood of refusals is no flood of lines")
}
