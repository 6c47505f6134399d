package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"golang.org/x/sys/unix"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// Half-open connections cost little memory, and end soon.
// Advisories: CVE-2026-33219
func TestHalfOpenClusterConnections(t *testing.T) {
	t.Parallel() // it waits for a timer
	one := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, nil)
	before := residentMemory(t, one.Cmd.Process.Pid)
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
	grown := residentMemory(t, one.Cmd.Process.Pid) - before
	t.Logf("%d KB for %d connections", grown, len(conns))
	interoptest.RequireMemory(t, 48<<20, grown<<10, "for half-open connections")
	for _, c := range conns {
		_, err := c.Read(make([]byte, 1))
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.Close())
	}
}

// A secret that other users can read is less secret.
func TestAWarningOfSecretsThatOthersCanRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(clusterSecret), 0o600))
	for _, c := range []struct {
		mode  os.FileMode
		warns bool
	}{{0o600, false}, {0o640, false}, {0o644, true}} {
		require.NoError(t, os.Chmod(file, c.mode))
		for flag, name := range map[string]string{"--cluster-secret-file": "cluster-secret", "--password-file": "password", "--token-file": "token"} {
			var said bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&said, nil))
			held, err := secret(logger, flag, file, "")
			require.NoError(t, err)
			require.Equal(t, clusterSecret, held)
			require.Equal(t, c.warns, strings.Contains(said.String(), "all users of this machine can read the "+name+": chmod 600"), said.String())
			require.NotContains(t, said.String(), clusterSecret)
		}
	}
}

// Strangers can take all file descriptors that a hub may have. The hub then accepts no new connections, but it keeps
// its existing ones. It recovers when the strangers have left.
// Advisories: CVE-2026-33219
func TestStrangersTakeAllDescriptors(t *testing.T) {
	const limit = 200
	secret := []string{"MESH_CLUSTER_SECRET=" + clusterSecret}
	one := joins(t, secret, nil)
	two := joins(t, secret, []string{one.cluster})
	hears := spawn(t, nil, "connect", "--addr", one.url, "--on", "x")
	hears.is()
	pid := one.Cmd.Process.Pid
	require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil))
	before := residentMemory(t, pid)
	conns := make([]net.Conn, 3*limit)
	for i := range conns {
		var err error
		conns[i], err = net.Dial("tcp", one.cluster) // the system accepts the connections that the hub does not
		require.NoError(t, err)
	}
	one.says("too many open files")
	two.emits(`"meanwhile"`)
	hearsAt(t, `"meanwhile"`, one, two)
	require.Equal(t, `"meanwhile"`, string(hears.hears().Payload))
	interoptest.RequireMemory(t, 32<<20, (residentMemory(t, pid)-before)<<10, "for connections that wait")
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	one.emits(`"then"`) // from a new client
	hearsAt(t, `"then"`, one, two)
}

// TestAHubThatCannotAcceptSaysSo checks that the hub's clients and its other work continue.
func TestAHubThatCannotAcceptSaysSo(t *testing.T) {
	const limit = 64
	hub := spawn(t, nil, "listen", "--addr", anyPort)
	node := hub.is()
	require.NoError(t, unix.Prlimit(hub.Cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil))
	address, err := url.Parse(node.url)
	require.NoError(t, err)
	conns := make([]net.Conn, 2*limit)
	for i := range conns {
		conns[i], err = net.Dial("tcp", address.Host)
		require.NoError(t, err)
	}
	hub.says("new connections cannot be accepted", "too many open files")
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	_, stderr, code := execute(t, nil, "emit", "x", "1", "--addr", node.url)
	require.Zero(t, code, stderr)
}
