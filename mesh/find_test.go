package mesh_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// found is the reply to a question for nodes or groups.
type found struct {
	RID   int
	Next  int64
	Nodes []mesh.NodeInfo

	Ungrouped int
	Groups    []struct {
		Count, Revision            int
		Hub, Name                  string
		Negotiated, Browser, Muted bool
		Interests                  []string
	}
}

// find sends a $mesh.nodes question and requests all pages of the reply.
func find(t testing.TB, w *meshtest.Session, question string) (all found) {
	t.Helper()
	for after := int64(0); ; {
		w.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":1,"after":%d,%s}}`, after, question))
		answer := w.Next()
		for strings.Contains(answer, "$mesh.hello") {
			answer = w.Next()
		}
		var a struct{ Payload found }
		require.NoError(t, json.Unmarshal([]byte(answer), &a))
		all.Nodes = append(all.Nodes, a.Payload.Nodes...)
		all.Groups = append(all.Groups, a.Payload.Groups...)
		all.Ungrouped += a.Payload.Ungrouped
		if a.Payload.Next == 0 {
			return all
		}
		after = a.Payload.Next
	}
}

// named returns a first packet with a name.
func named(key, name string) string {
	return strings.Replace(offer(key, ""), `"wire"`, `"`+name+`"`, 1)
}

func (f found) names() (names []string) {
	for _, n := range f.Nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

func TestNodesAreFound(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Name: "Hub", Backplane: b})
	other := listen(t, mesh.Options{Name: "other hub", Backplane: b})
	lamp := connect(t, hub, mesh.Options{Name: "My-Lamp", Transports: overWebSocket})
	for i := range 300 { // more than one page holds
		meshtest.DialRaw(t, hub.Addr(), named(fmt.Sprintf("%032d", i), fmt.Sprintf("worker %d", i)))
	}
	far := connect(t, other, mesh.Options{Name: "far lamp", Transports: overWebSocket})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(named(testKey, "worker"))
	w.Barrier()

	require.Equal(t, []string{"My-Lamp", "far lamp"}, find(t, w, `"find":"LAMP"`).names())
	require.Equal(t, []string{"My-Lamp"}, find(t, w, `"find":"my-lamp","exact":true`).names())
	require.Empty(t, find(t, w, `"find":"lamp","exact":true`).names())
	require.Equal(t, []string{"Hub", "other hub"}, find(t, w, `"find":"hub"`).names())
	require.Equal(t, []string{"worker 7"}, find(t, w, `"find":"worker 7","exact":true`).names())
	require.Len(t, find(t, w, `"find":"worker"`).names(), 301)
	require.Len(t, find(t, w, `"find":"worker 7"`).names(), 11)
	for _, n := range []*mesh.Node{lamp, far, hub, other} {
		for _, question := range []string{`"find":"` + n.ID() + `","exact":true`, `"find":"` + n.ID()[:12] + `"`, `"find":"` + strings.ToUpper(n.ID()) + `"`} {
			got := find(t, w, question)
			require.Len(t, got.Nodes, 1, question)
			require.Equal(t, n.ID(), got.Nodes[0].ID)
		}
	}
	require.Empty(t, find(t, w, `"find":"nothing"`).Nodes)
	w.Send(`{"event":"$mesh.nodes","payload":{"rid":1,"find":"` + strings.Repeat("x", 600) + `"}}`)
	require.Contains(t, w.Next(), `"error":"bad-question"`)
}

func TestNodesAreGrouped(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	other := listen(t, mesh.Options{Backplane: b})
	for i := range 20 {
		meshtest.DialRaw(t, hub.Addr(), named(fmt.Sprintf("%032d", i), fmt.Sprintf("worker %d", i)), meshtest.Table("mesh::job::*", fmt.Sprintf("mesh::reply-%032x", i+1)))
	}
	for i := range 60 { // each peer has a group by itself
		name := strings.Repeat("x", i+1)
		meshtest.DialRaw(t, other.Addr(), meshtest.Table("mesh::"+name))
	}
	w := meshtest.Dial(t, hub.URL(), nil)
	got := find(t, w, `"groups":true`)
	require.Empty(t, got.Nodes)
	first := got.Groups[0]
	require.Equal(t, 20, first.Count)
	require.Equal(t, hub.ID(), first.Hub)
	require.Equal(t, "worker ", first.Name)
	require.True(t, first.Negotiated)
	require.Equal(t, []string{"job::*", "reply-#"}, first.Interests)
	require.Equal(t, 1+20+60, func() (n int) { // 1 for the peer that asks
		for _, g := range got.Groups {
			n += g.Count
		}
		return n + got.Ungrouped
	}())
	require.Equal(t, 60-48, got.Ungrouped)
}
