package mesh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// TestLogHasOneLineForEachChange follows a hub and its peers from beginning to end.
func TestLogHasOneLineForEachChange(t *testing.T) {
	var logs, own meshtest.Log
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("ann", "s3cret"), Logger: logs.Logger()})
	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), User: "ann", Password: "gu3ss"})
	require.Error(t, err)
	c := connect(t, hub, mesh.Options{User: "ann", Password: "s3cret", Name: "a name", Logger: own.Logger()})
	for range 10 {
		require.NoError(t, c.Emit("e", "a text"))
	}
	flush(t, c)
	require.NoError(t, c.Close())
	eventually(t, "the peer is gone", func() bool { return strings.Contains(logs.String(), "peer left") && len(hub.Sessions()) == 0 })
	require.NoError(t, hub.Close())

	for said, b := range map[string]*meshtest.Log{
		`level=INFO msg="mesh: listening" addr=`:                     &logs,
		`level=WARN msg="mesh: peer refused" peer=`:                  &logs,
		`level=INFO msg="mesh: peer admitted" peer=` + c.ID():        &logs,
		`level=INFO msg="mesh: peer left" peer=` + c.ID():            &logs,
		`level=INFO msg="mesh: node ended" role=hub`:                 &logs,
		`level=INFO msg="mesh: connected" addr=` + hub.Addr():        &own,
		`level=INFO msg="mesh: node ended" role=client id=` + c.ID(): &own,
	} {
		require.Equal(t, 1, strings.Count(b.String(), said), "%s in:\n%s", said, b.String())
	}
	for _, word := range []string{"s3cret", "gu3ss", "a text"} {
		require.NotContains(t, logs.String()+own.String(), word)
	}
	require.NotContains(t, logs.String()+own.String(), "level=ERROR")
}

// TestAHubWithoutAuthorizeSaysSo checks that a hub without Authorize logs a warning if it has credentials, because its
// operator may expect the hub to require them. A client that Start made is such a hub after a takeover.
func TestAHubWithoutAuthorizeSaysSo(t *testing.T) {
	for said, o := range map[bool]mesh.Options{
		true:  {User: "ann", Password: "s3cret"},
		false: {Token: "s3cret", Authorize: mesh.BearerAuth("s3cret")},
	} {
		var logs meshtest.Log
		o.Logger = logs.Logger()
		listen(t, o)
		require.Equal(t, said, strings.Contains(logs.String(), "this hub admits every client"))
		require.NotContains(t, logs.String(), "s3cret")
	}
	var logs meshtest.Log
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	heir, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), Token: "s3cret", Logger: logs.Logger()})
	require.NoError(t, err)
	defer heir.Close()
	require.NotContains(t, logs.String(), "admits every client")
	require.NoError(t, hub.Close())
	eventually(t, "it takes over", func() bool { return heir.Role() == mesh.RoleHub })
	require.Contains(t, logs.String(), "admits every client")
}

func TestFloodOfGuessesIsOneLogLineASecond(t *testing.T) {
	var logs meshtest.Log
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("ann", "s3cret"), Logger: logs.Logger()})
	start := time.Now()
	for range 50 {
		_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), User: "ann", Password: "gu3ss"})
		require.ErrorAs(t, err, new(*mesh.AuthError))
	}
	require.EqualValues(t, 50, hub.Stats().AuthFailures)
	require.LessOrEqual(t, strings.Count(logs.String(), "mesh: peer refused"), 1+int(time.Since(start)/time.Second))
}
