package examples_test

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a process whose standard output and error the test reads together.
type program struct{ *interoptest.Process }

// start starts a command and kills it at the end of the test.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	return &program{interoptest.StartMerged(t, cmd)}
}

// says waits for a line with this prefix, and returns the rest of the line.
func (p *program) says(prefix string) string {
	line := p.Await(p.Stdout, prefix, func(line string) bool { return strings.HasPrefix(line, prefix) })
	return strings.TrimPrefix(line, prefix)
}

// build builds an example's program.
func build(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(dir)+".exe")
	out, err := exec.Command("go", "build", "-o", bin, "./"+dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// hub starts the Go half of an example and returns its URL.
func hub(t *testing.T, dir string, args ...string) (*program, *url.URL) {
	t.Helper()
	p := start(t, exec.Command(build(t, dir), append([]string{"-addr", "127.0.0.1:0"}, args...)...))
	u, err := url.Parse(p.says("listening on "))
	require.NoError(t, err)
	return p, u
}

// install installs the packages of the Node.js programs, once.
var install = sync.OnceValue(func() error {
	if _, err := os.Stat("node_modules"); err == nil {
		return nil
	}
	out, err := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
})

// node starts a Node.js program with the port of a hub.
func node(t *testing.T, script string, hub *url.URL) *program {
	t.Helper()
	interoptest.Need(t, "node", "npm")
	require.NoError(t, install())
	cmd := exec.Command("node", script)
	cmd.Env = append(os.Environ(), "PORT="+hub.Port())
	return start(t, cmd)
}

// visit opens a page of a hub in Chromium.
func visit(t *testing.T, hub *url.URL, page string) {
	t.Helper()
	interoptest.Need(t, "chromium")
	profile, err := os.MkdirTemp("", "example") //nolint:usetesting // processes of the browser may still write to it when the test ends
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "http://"+hub.Host+page)
	// Chromium ends with its debugging pipe, and ends its child processes too.
	theirs, ours, err := os.Pipe()
	require.NoError(t, err)
	answers, its, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{theirs, its}
	require.NoError(t, cmd.Start())
	_ = theirs.Close()
	_ = its.Close()
	t.Cleanup(func() {
		_ = ours.Close()
		_, _ = io.Copy(io.Discard, answers)
		_ = cmd.Wait()
		_ = answers.Close()
	})
}

func TestBasic(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "basic/server", "-interval", "100ms")
	client := node(t, "basic/client.js", u)
	server.says("got client-foo event from ")
	client.says(`got server-foo event "i am server `)
	client.says(`got server-echo-client-foo event "hello"`)
}

func TestBasicPage(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "basic/server")
	visit(t, u, "/client.html")
	server.says("got client-foo event from ")
}

func TestResource(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "resource/server")
	start(t, exec.Command(build(t, "resource/client"), "-addr", u.Host, "-interval", "100ms"))
	require.Equal(t, `"Hi from Go!"`, server.says("the creature says "))
	node(t, "resource/client.js", u)
	visit(t, u, "/client.html")
	server.says(`the creature says "Hi from Node.js!"`)
	server.says(`the creature says "Hi from a page!"`)
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "authorization/server", "-interval", "100ms")
	bin := build(t, "authorization/client")
	out, err := exec.Command(bin, "-addr", u.Host, "-password", "wrong").CombinedOutput()
	require.Error(t, err)
	require.Equal(t, "the hub does not admit marak: user, password or token refused\n", string(out))

	for _, client := range []*program{
		start(t, exec.Command(bin, "-addr", u.Host, "-interval", "100ms")),
		node(t, "authorization/client.js", u),
	} {
		client.says(`got server-foo event {"bar":"foo"}`)
		client.says(`got server-echo-client-foo event {"bar":"foo"`)
	}
	server.says("got client-foo event from ")
}

func TestAuthorizationPage(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "authorization/server")
	visit(t, u, "/client.html?user=marak&password=password")
	server.says("got client-foo event from ")
}

func TestMesh(t *testing.T) {
	t.Parallel()
	bin := build(t, "mesh")
	first := start(t, exec.Command(bin, "-addr", "127.0.0.1:0", "-interval", "100ms"))
	_, at, _ := strings.Cut(first.says(""), " is a hub at ")
	u, err := url.Parse(at)
	require.NoError(t, err)
	original := node(t, "mesh/node.js", u)
	pid, is, _ := strings.Cut(original.says(""), " ")
	require.Equal(t, "is a client", is)
	for !strings.HasSuffix(first.says(""), " - mesh customEvent - "+pid) {
	}
	original.says(pid + " - mesh customEvent - ")
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	server, u := hub(t, "browser")
	visit(t, u, "/hello.html")
	require.Equal(t, `"a page was opened"`, server.says("hello "))
}

// Three hubs form one mesh. The client receives the events of each hub in order and without a gap, also when its own hub
// has ended.
func TestCluster(t *testing.T) {
	t.Parallel()
	p := start(t, exec.Command(build(t, "cluster"), "-interval", "50ms"))
	last := make(map[string]int)
	gone, now := "", ""
	for len(last) < 3 || now == "" || last[now] < 12 {
		line := p.says("")
		var name string
		var n int
		if at, ok := strings.CutPrefix(line, "the client is connected with "); ok {
			now = at
		} else if _, err := fmt.Sscanf(line, "hub %s is shut down", &name); err == nil {
			gone = name
		} else if _, err := fmt.Sscanf(line, "%s says hello %d", &name, &n); err == nil {
			require.Equal(t, last[name]+1, n, name)
			last[name] = n
		}
	}
	require.NotEqual(t, gone, now)
	require.Equal(t, 5, last[gone])
}
