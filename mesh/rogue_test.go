package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// The tests of this file connect to a program that took a hub's address. It speaks the extensions, and sends any
// packets.

func TestRogueHubCannotListNodesWithoutEnd(t *testing.T) {
	const size, limit = 100_000, 1 << 20 // of an answer, and of all answers
	long := strings.Repeat(" ", size)
	for name, list := range map[string]func(after int) string{
		"from the same place": func(after int) string { return fmt.Sprintf(`{"id":"x"}],"next":%d`, max(1, after)) },
		"from before":         func(int) string { return `{"id":"x"}],"next":-1` },
		"of any size":         func(after int) string { return fmt.Sprintf(`%s],"next":%d`, long, after+1) },
	} {
		t.Run(name, func(t *testing.T) {
			hub, url := meshtest.StartHub(t, "rogue")
			c := connectTo(t, mesh.Options{Addr: url, Transports: overWebSocket})
			p := hub.Peers.Next()
			failed := make(chan error, 1)
			go func() {
				_, err := mesh.NodesWithin(meshtest.Context(t), c, limit)
				failed <- err
			}()
			for answers := 0; ; answers++ {
				select {
				case packet := <-p.C:
					require.LessOrEqual(t, answers, limit/size+1)
					query, err := protocol.Parse([]byte(packet))
					require.NoError(t, err)
					var q struct {
						RID   json.RawMessage
						After int
					}
					require.NoError(t, json.Unmarshal(query.Payload, &q))
					p.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":%s,"nodes":[%s}}`, q.RID, list(q.After)))
				case err := <-failed:
					require.EqualError(t, err, "mesh: the hub reports too many nodes")
					return
				}
			}
		})
	}
}

func TestRogueHubCannotFloodTheLog(t *testing.T) {
	var log meshtest.Log
	hub, url := meshtest.StartHub(t, "rogue")
	c := connectTo(t, mesh.Options{Addr: url, Logger: log.Logger()})
	p := hub.Peers.Next()
	for range 200 {
		p.Send(`{"event":"$mesh.refused","payload":{"rule":"` + strings.Repeat("r", 5000) + `","event":"` + strings.Repeat("e", 5000) + `","count":1}}`)
	}
	eventually(t, "all were counted", func() bool { return c.Stats().RejectedByHub == 200 })
	require.LessOrEqual(t, strings.Count(log.String(), "rejects events"), 10, "a line a second")
	require.Less(t, len(log.String()), 25_000)
}
