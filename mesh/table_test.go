package mesh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// TestTableBeyondTheStepsIsRejected checks that the peer gets a message, that Explain names the rule, and that the
// previous table still applies.
func TestTableBeyondTheStepsIsRejected(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"handshake","headers":{"mesh":{"v":1,"key":"` + testKey + `"}}}`)
	id := protocol.ID(testKey)
	var slow []string
	for i := range 256 {
		slow = append(slow, fmt.Sprintf("mesh::**::%d::**::%d", i%16, i/16))
	}
	w.Send(meshtest.Table("mesh::kept"))
	w.Barrier()
	w.Send(meshtest.Table(slow...))
	w.Barrier()
	require.EqualValues(t, 1, hub.Stats().BadTables)
	explain := func(event string) mesh.Explanation {
		e, err := hub.Explain(t.Context(), mesh.ExplainQuery{To: id, Event: event})
		require.NoError(t, err)
		return e
	}
	require.Equal(t, protocol.RuleBadTable, explain("1::1").Rule)
	require.Equal(t, protocol.RuleListens, explain("kept").Rule)
	w.Send(meshtest.Table("mesh::kept", "mesh::**::1"))
	w.Barrier()
	require.Equal(t, protocol.RuleListens, explain("1::1").Rule)
	require.Equal(t, protocol.RuleNoListener, explain("2").Rule)
	heard := strings.Join(w.Received(), "\n")
	require.Contains(t, heard, `{"event":"$mesh.refused","payload":{"rule":"bad-table","count":1,"message":"the patterns of the event table can take `)
	require.Contains(t, heard, "listen to `**`")
}

// TestManyPatternsOfFewStepsAreAccepted checks that the limit does not apply to the number of patterns.
func TestManyPatternsOfFewStepsAreAccepted(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	var many []string
	for i := range protocol.MaxTableEntries {
		many = append(many, fmt.Sprintf("mesh::*::room%d::temperature", i))
	}
	w.Send(meshtest.Table(many...))
	w.Barrier()
	require.Zero(t, hub.Stats().BadTables)
	require.NoError(t, hub.Emit("x::room4095::temperature", nil))
	require.NoError(t, hub.Emit("x::room4096::temperature", nil))
	w.Barrier()
	require.Equal(t, []string{`{"event":"x::room4095::temperature"}`}, w.Received())
}
