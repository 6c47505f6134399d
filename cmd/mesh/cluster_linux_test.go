package main

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Half-open connections cost little, and are gone soon.
func TestAdvisory_CVE_2026_33219_HalfOpenClusterConnections(t *testing.T) {
	one := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, nil)
	before := residentMemory(t, one.cmd.Process.Pid)
	conns := make([]net.Conn, 500)
	for i := range conns {
		var err error
		conns[i], err = net.Dial("tcp", one.cluster)
		require.NoError(t, err)
		require.NoError(t, conns[i].SetDeadline(time.Now().Add(patience)))
	}
	two := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, []string{one.cluster})
	two.emits("1")
	hearsAt(t, "1", one, two)
	grown := residentMemory(t, one.cmd.Process.Pid) - before
	t.Logf("%d KB for %d connections", grown, len(conns))
	require.Less(t, grown, 48<<10, "KB, for %d connections", len(conns))
	for _, c := range conns {
		_, err := c.Read(make([]byte, 1))
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.Close())
	}
}
