package basic_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start builds and starts one half of the example. It returns the process, the rest of the first line on standard error
// after the prefix, and the output. At the end of the test it ends the process, which must exit without an error.
func start(t *testing.T, half, prefix string, args ...string) (cmd *exec.Cmd, first string, out *bufio.Scanner) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), half+".exe")
	built, err := exec.Command("go", "build", "-o", bin, "./"+half).CombinedOutput()
	require.NoError(t, err, "%s", built)
	cmd = exec.Command(bin, args...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, out := bufio.NewScanner(stderr), bufio.NewScanner(stdout)
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		_, _ = io.Copy(io.Discard, stdout)
		require.False(t, said.Scan(), "a second line on standard error: %s", said.Text())
		require.NoError(t, cmd.Wait())
	})
	require.True(t, said.Scan())
	first, ok := strings.CutPrefix(said.Text(), prefix)
	require.True(t, ok, said.Text())
	return cmd, first, out
}

func TestServerAndClientHearEachOther(t *testing.T) {
	server, url, printed := start(t, "server", "listening on ", "-addr", "127.0.0.1:0", "-interval", "30ms")
	_, at, heard := start(t, "client", "connected to ", "-addr", url, "-interval", "20ms")
	require.Equal(t, url, at)

	missing := map[string]bool{
		fmt.Sprintf(`got server-foo event "i am server %d"`, server.Process.Pid): true,
		`got server-echo-client-foo event "hello"`:                               true,
	}
	for len(missing) > 0 && heard.Scan() {
		delete(missing, heard.Text())
	}
	require.Empty(t, missing)
	require.True(t, printed.Scan())
	require.Regexp(t, "^got client-foo event from [0-9a-f]{32}$", printed.Text())
}
