package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Other users of a machine see the arguments of its processes. No command takes a password as an argument. A command
// rejects an address that contains a password, and does not show it.
// Advisories: CVE-2026-33247, CVE-2020-26149
func TestNoSecretInArguments(t *testing.T) {
	for _, command := range []string{"start", "listen", "connect", "on", "emit"} {
		help, _, code := execute(t, nil, command, "--help")
		require.Zero(t, code)
		require.Contains(t, help, "--password-file FILE")
		require.NotRegexp(t, `--(password|pass|token|secret|auth)\s`, help)
		for _, args := range [][]string{
			{"--addr", "http://ann:s3cret@localhost:1/"}, {"--addr", "ann:s3cret@localhost:1"}, {"--addr", "localhost:1", "--user", "ann", "--password", "s3cret"},
		} {
			stdout, stderr, code := execute(t, nil, append([]string{command}, args...)...)
			require.NotZero(t, code)
			require.NotContains(t, stdout+stderr, "s3cret")
		}
	}
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	_, stderr, code := execute(t, nil, "emit", "x", "1", "--addr", "127.0.0.1:1", "--user", "ann", "--password-file", file, "--log-level", "debug")
	require.NotZero(t, code)
	require.NotContains(t, stderr, "s3cret")
}

// The secret of a cluster appears in no argument, help text, log, error, metric or page, also when it is wrong.
// Advisories: CVE-2026-33247, CVE-2026-33216
func TestClusterSecretIsNotShown(t *testing.T) {
	t.Parallel() // it waits for a timer
	for _, command := range []string{"start", "listen"} {
		help, _, code := execute(t, []string{"MESH_NATS=nats://ann:taint@localhost", "MESH_CLUSTER_SECRET=taint"}, command, "--help")
		require.Zero(t, code)
		require.Contains(t, help, "--cluster-secret-file FILE")
		require.NotRegexp(t, `--(cluster-secret|nats-(user|password|pass|token))\s`, help)
		require.NotContains(t, help, "taint")
		for _, c := range []struct {
			env  string
			args []string
		}{
			{"", []string{"--nats", "nats://ann:taint@localhost:1"}},
			{"", []string{"--nats", "nats://localhost:1,nats://taint@localhost:1"}},
			{"", []string{"--cluster", "localhost:0", "--cluster-secret", "taint"}},
			{"MESH_NATS=nats://ann:taint@localhost:x", nil},
			{"MESH_NATS=nats://ann:ta int@localhost", nil},
			{"MESH_NATS=ann:taint@localhost", nil},
			{"MESH_CLUSTER_SECRET=taint", []string{"--cluster", "localhost:0"}},
		} {
			stdout, stderr, code := execute(t, []string{c.env}, append([]string{command, "--addr", anyPort}, c.args...)...)
			require.Equal(t, 1, code, c)
			require.NotContains(t, stdout+stderr, "taint")
		}
	}

	nats := startBroker(t, "--user", "hub", "--pass", "taint")
	secret := "MESH_CLUSTER_SECRET=taint" + clusterSecret
	debug := []string{"--log-level", "debug", "--metrics", "/metrics"}
	one := joins(t, []string{secret}, nil, debug...)
	two := joins(t, []string{secret}, []string{one.cluster}, debug...)
	stranger := begins(t, []string{secret + "0"}, []string{anyPort, one.cluster}, debug...)
	stranger.says("not joined")
	stranger.serves()
	three := joinsNATS(t, []string{"MESH_NATS=nats://hub:taint@" + nats.addr}, debug...)
	four := joinsNATS(t, []string{"MESH_NATS=nats://hub:taint@127.0.0.1:1"}, debug...) // no server runs there
	two.emits("1")
	hearsAt(t, "1", one, two)
	three.emits("1")
	hearsAt(t, "1", three)
	nats.kill()
	three.says("no connection to NATS")
	nats.args = []string{"--user", "hub", "--pass", "other"}
	nats.start()
	for _, m := range []*member{one, two, stranger, three, four} {
		for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
			_, body := get(t, http.MethodGet, m.base+path, "", "")
			require.NotContains(t, body, "taint")
		}
		m.Interrupt(os.Interrupt)
		require.NotContains(t, m.Seen.String(), "taint")
		require.NotContains(t, strings.Join(m.Cmd.Args, " "), "taint")
	}
	_, stderr, code := execute(t, []string{"MESH_NATS=nats://hub:taint@" + nats.addr}, append([]string{"listen", "--addr", anyPort}, debug...)...)
	require.Equal(t, 1, code)
	require.NotContains(t, stderr, "taint")
}
