package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a node and returns its process ID, its role, its URL and its output. At the end of the test it ends the
// node, which must exit without an error.
func start(t *testing.T, bin, addr string) (pid int, role, url string, out *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(bin, "-addr", addr, "-interval", "20ms")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	first := bufio.NewScanner(stderr)
	out = bufio.NewScanner(stdout)
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		for out.Scan() {
		}
		require.False(t, first.Scan(), "a second line on standard error: %s", first.Text())
		require.NoError(t, cmd.Wait())
	})
	require.True(t, first.Scan())
	_, err = fmt.Sscanf(first.Text(), "%d is a %s at %s", &pid, &role, &url)
	require.NoError(t, err, first.Text())
	return pid, role, url, out
}

func TestEveryNodeHearsEveryOther(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "mesh.exe")
	built, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)

	type node struct {
		pid int
		out *bufio.Scanner
	}
	var nodes []node
	addr := "127.0.0.1:0"
	for i := range 3 {
		pid, role, url, out := start(t, bin, addr)
		require.Equal(t, i == 0, role == "hub", role)
		addr = url
		nodes = append(nodes, node{pid, out})
	}
	for _, n := range nodes {
		missing := make(map[string]bool)
		for _, other := range nodes {
			missing[fmt.Sprintf("%d - mesh customEvent - %d", n.pid, other.pid)] = true
		}
		for len(missing) > 0 && n.out.Scan() {
			require.True(t, strings.HasPrefix(n.out.Text(), fmt.Sprint(n.pid, " - mesh customEvent - ")), n.out.Text())
			delete(missing, n.out.Text())
		}
		require.Empty(t, missing)
	}
}
