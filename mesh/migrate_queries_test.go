package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// answerWatch responds to the query of a client that watches presence.
func answerWatch(t *testing.T, p *meshtest.Peer) {
	t.Helper()
	query := p.Next()
	require.Contains(t, query, `"watch":true`)
	var q struct{ Payload struct{ RID int } }
	require.NoError(t, json.Unmarshal([]byte(query), &q))
	p.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":%d,"nodes":[]}}`, q.Payload.RID))
}

// The new hub has the node's event table, and knows whether the node watches presence, before the old hub forgets them.
func TestNewHubHasTheTableAndTheWatch(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		seen := meshtest.NewRecorder[mesh.Presence](t)
		c.node.OnPresence(seen.Add)
		answerWatch(t, c.at["a"])
		c.play([]step{{hub: "a", sends: meshtest.Move}, {hub: "b", arrives: true}}...)
		to := c.at["b"]
		answerWatch(t, to)
		query := to.Next()
		require.Contains(t, query, "$mesh.sync")
		listenTo(t, c.node, "late") // confirmed by Flush
		c.play([]step{
			{hub: "a", gets: `"mesh::late"`},
			{hub: "b", sends: query}, {hub: "b", gets: `"mesh::late"`},
			{hub: "a", quiet: true}, // the client has not left it yet
			{hub: "b", syncs: true}, {hub: "a", gets: meshtest.Leaving},
		}...)

		join := func(id, since string) string {
			return fmt.Sprintf(`{"event":"$mesh.join","payload":{"id":"%s","since":"%s"}}`, id, since)
		}
		const first, second = "2026-01-02T15:04:05.678Z", "2026-01-02T15:04:06.678Z"
		c.at["a"].Send(join("x", first), join("y", first))
		to.Send(join("y", first), join("y", second), join("z", first))
		c.play(step{hub: "a", sends: meshtest.Left})
		synctest.Wait()
		var ids []string
		for _, p := range seen.All() {
			ids = append(ids, p.Node.ID)
		}
		require.Equal(t, []string{"x", "y", "y", "z"}, ids)
		c.play([]step{
			{hub: "b", quiet: true}, // it has replied to the query already
			{hub: "b", events: []int{1}}, {hears: "1"},
		}...)
	})
}

// askNodes calls Nodes on another goroutine.
func askNodes(t *testing.T, n *mesh.Node) <-chan []mesh.NodeInfo {
	nodes := make(chan []mesh.NodeInfo, 1)
	go func() {
		all, err := n.Nodes(meshtest.Context(t))
		if err != nil {
			t.Error(err)
		}
		nodes <- all
	}()
	return nodes
}

func TestQueriesAreSentAgainToTheNewHub(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		nodes := askNodes(t, c.node)
		c.play(step{hub: "a", gets: "$mesh.nodes"})
		c.play(movesTo("a", "b")...)
		c.play(step{hub: "a", sends: meshtest.Left})
		query := c.at["b"].Next()
		require.Contains(t, query, "$mesh.nodes")
		c.at["b"].Send(strings.Replace(query, `"watch":false`, `"nodes":[{"id":"x"}]`, 1))
		require.Equal(t, "x", (<-nodes)[0].ID)
	})
}

// Each hub numbers its pages of nodes separately.
func TestPagesOfNodesAreThoseOfOneHub(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		nodes := askNodes(t, c.node)
		answer := func(hub, id, after string) {
			query := c.at[hub].Next()
			require.Contains(t, query, "$mesh.nodes")
			require.Equal(t, after == "", !strings.Contains(query, `"after"`), query)
			reply := fmt.Sprintf(`"nodes":[{"id":"%s"}]`, id)
			if after != "last" {
				reply += `,"next":5`
			}
			c.at[hub].Send(strings.Replace(query, `"watch":false`, reply, 1))
		}
		answer("a", "old", "")
		c.play(step{hub: "a", gets: `"after":5`})
		c.play(movesTo("a", "b")...)
		c.play(step{hub: "a", sends: meshtest.Left})
		answer("b", "middle", "last")
		answer("b", "first", "")
		answer("b", "second", "last")
		all := <-nodes
		require.Len(t, all, 2)
		require.Equal(t, []string{"first", "second"}, []string{all[0].ID, all[1].ID})
	})
}
