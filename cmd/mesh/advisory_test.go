package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Other users of a machine see its processes' arguments: no command takes a password among them, and one that is given in
// an address after all is refused and not shown.
func TestAdvisory_CVE_2026_33247_CVE_2020_26149_noSecretInArguments(t *testing.T) {
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
