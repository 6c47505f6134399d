package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// reader follows docs/guide.md block by block.
type reader struct {
	t       *testing.T
	blocks  []codeBlock
	changed *strings.Replacer // replacements of addresses and ports for this test

	root, dir string // the clone, and a temporary folder of the reader
	program   string // hello/main.go so far
	runs      int    // of the program
	desk      *desk
	setup     string // of a shell

	// The first two terminals run the nodes of the beginning, the third runs the commands, and the fourth runs the
	// program.
	first, second, third, fourth terminal
}

// next returns the next block, which must be in this language.
func (r *reader) next(language string) string {
	r.t.Helper()
	require.NotEmpty(r.t, r.blocks, "the page has no more blocks")
	b := r.blocks[0]
	require.Equal(r.t, language, b.language, "%s", b.text)
	r.blocks = r.blocks[1:]
	return r.changed.Replace(b.text)
}

func (r *reader) open() terminal {
	r.t.Helper()
	return r.desk.open(r.t, r.setup)
}

// shell runs the next block in the third terminal.
func (r *reader) shell() {
	r.t.Helper()
	r.third.runs(r.t, r.next("sh"))
	r.third.shows(r.t, "^code 0$")
}

// add adds lines to hello/main.go before the last one of main, with the imports that they need.
func (r *reader) add(lines string) {
	r.t.Helper()
	require.Equal(r.t, 1, strings.Count(r.program, lastLine))
	r.program = strings.Replace(r.program, lastLine, lines+lastLine, 1)
	for _, path := range []string{"errors", "net/http", "strings", "time"} {
		if used := regexp.MustCompile(`\b` + filepath.Base(path) + `\.`); used.MatchString(lines) && !strings.Contains(r.program, `"`+path+`"`) {
			r.program = strings.Replace(r.program, "import (\n", fmt.Sprintf("import (\n\t%q\n", path), 1)
		}
	}
}

const lastLine = "\n\t<-node.Done()\n"

// goRun ends the program if it runs, runs hello/main.go in the fourth terminal, and returns when the hub knows its
// subscriptions.
func (r *reader) goRun() {
	r.t.Helper()
	if r.runs++; r.runs > 1 {
		r.end(r.fourth)
	}
	known := fmt.Sprintf("\nif err := node.Flush(ctx); err != nil { log.Fatal(err) }\nlog.Print(\"at work %d\")\n", r.runs) // the test adds these lines
	source := strings.Replace(r.program, lastLine, known+lastLine, 1)
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, "main.go"), []byte(source), 0o600))
	r.fourth.types(r.t, "clear; go run ./hello")
	r.fourth.showsWithin(r.t, buildTimeout, fmt.Sprintf("at work %d$", r.runs))
}

// end interrupts the program in a terminal, as a person does, and waits for its end.
func (r *reader) end(w terminal) {
	r.t.Helper()
	w.interrupt(r.t)
	w.shows(r.t, `^\$$\z`)
}

// meshAt returns a line for a shell. After it, the command mesh uses this address, unless an argument names another
// one.
func meshAt(addr string) string {
	return `mesh() { c=$1; shift; case "$*" in *--addr*) ;; *) set -- --addr ` + addr + ` "$@" ;; esac; command mesh "$c" "$@"; }`
}

// nodeFolder returns a folder as steps 1 to 3 of docs/node-interop.md make it.
func nodeFolder(t *testing.T) string {
	t.Helper()
	node, err := install()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(node, "node_modules"), filepath.Join(dir, "node_modules")))
	reconnect, err := os.ReadFile(filepath.Join(node, "reconnect.js"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "reconnect.js"), reconnect, 0o600))
	return dir
}

// TestGuide follows docs/guide.md from beginning to end: in four terminals, in a folder hello of the clone and in a
// browser. It restarts and removes only the programs and lines that the page names.
func TestGuide(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "go", "node", "npm", "tmux")
	v := startVisitor(t)
	root, err := moduleRoot()
	require.NoError(t, err)
	_, err = meshCommand() // go install then finds the packages compiled
	require.NoError(t, err)
	port, other, inside := interoptest.StablePort(t), interoptest.StablePort(t), interoptest.StablePort(t)
	at := fmt.Sprintf("localhost:%d", port)
	r := &reader{t: t, blocks: blocksOf(t, "../docs/guide.md"), root: root, dir: t.TempDir(), changed: strings.NewReplacer(
		"localhost:8888", at, "port: 8888", fmt.Sprintf("port: %d", port),
		"&mesh.Options{Name:", fmt.Sprintf("&mesh.Options{Addr: %q, Name:", at),
		"localhost:7777", fmt.Sprintf("localhost:%d", other), "localhost:7778", fmt.Sprintf("localhost:%d", interoptest.StablePort(t)), "localhost:9100", fmt.Sprintf("localhost:%d", inside),
	)}
	// Only the go command sees the folder hello in the clone.
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, "hello", "main.go"): filepath.Join(r.dir, "main.go"),
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "overlay"), overlay, 0o600))
	bin := t.TempDir()
	// Without data for debuggers the go command links in half the time.
	r.desk = newDesk(t, root, pathWith(bin), "GOBIN="+bin, "GOFLAGS=-ldflags=-w -overlay="+filepath.Join(r.dir, "overlay"), "MESH_PASSWORD=")
	r.setup = meshAt(at)

	r.third = r.open()
	r.shell() // go install

	// Terminals.
	r.first = r.open()
	start := r.next("sh")
	r.first.types(t, strings.TrimSpace(start))
	r.first.prints(t, r.next("text"))
	r.second = r.open()
	r.second.types(t, strings.TrimSpace(start))
	r.second.prints(t, r.next("text"))
	r.first.types(t, strings.TrimSpace(r.next("text")))
	r.first.types(t, "events")
	r.first.shows(t, "^printed: greeting$")
	r.second.types(t, strings.TrimSpace(r.next("text")))
	r.first.prints(t, r.next("text"))
	r.shell()
	r.first.shows(t, "hello from a script")

	// A Go program.
	r.program = r.next("go")
	require.Equal(t, "go run ./hello\n", r.next("sh"))
	r.fourth = r.open()
	r.goRun()
	r.fourth.prints(t, r.next("text"))
	r.first.shows(t, "hello from Go")

	for _, section := range []string{"Listening", "Types", "Resources"} {
		r.add(r.next("go"))
		r.goRun()
		r.shell()
		r.fourth.prints(t, r.next("text"))
		switch section {
		case "Listening":
			require.NotContains(t, r.fourth.screen(t), "attic")
		case "Types":
			r.fourth.shows(t, "WARN .* event=order")
		}
	}

	// Requests and replies.
	r.add(r.next("go"))
	r.goRun()
	r.fourth.prints(t, r.next("text"))

	// Node.js.
	folder := nodeFolder(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "hello.js"), []byte(r.next("js")), 0o600))
	r.third.runs(t, "cd "+folder)
	r.third.types(t, strings.TrimSpace(r.next("sh")))
	r.third.prints(t, r.next("text"))
	r.first.shows(t, "hello from Node.js")
	r.end(r.third)
	r.third.runs(t, "cd "+root)

	// Pages.
	mine := v.visit(t, "http://"+at, nil)
	mine.see(t, "#state", "Connected")
	r.add(strings.Replace(r.next("go"), `http.Dir("hello")`, fmt.Sprintf("http.Dir(%q)", r.dir), 1))
	r.goRun()
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "page.html"), []byte(r.next("html")), 0o600))
	yours := v.visit(t, fmt.Sprintf("http://localhost:%d/page.html", other), nil)
	yours.click(t, "Click me")
	greet := r.next("sh")
	r.fourth.prints(t, r.next("text"))
	r.third.runs(t, greet) // the click has arrived after the page's table
	yours.see(t, "body", "hello, page")

	// Permissions.
	r.add(r.next("go"))
	r.goRun()
	tries := strings.SplitAfter(strings.TrimSpace(r.next("sh")), "\n")
	admitted, said := r.next("text"), strings.SplitAfter(r.next("text"), "\n")
	r.third.runs(t, tries[0])
	r.third.prints(t, said[0])
	r.third.shows(t, "^code 1$")
	r.third.runs(t, tries[1])
	r.third.shows(t, "^code 0$")
	r.third.runs(t, tries[2])
	r.third.prints(t, said[1])
	r.third.shows(t, "^code 0$")
	r.fourth.prints(t, admitted)
	require.NotContains(t, r.fourth.screen(t), "admitted: admin")

	// Queries and metrics. The program is still running.
	questions, differs := strings.SplitAfter(r.next("sh"), "\n"), regexp.MustCompile(`\b[0-9a-f]{8}\b|127\.0\.0\.1:\d+|(\d+[hms])+| +`)
	r.third.runs(t, questions[0])
	for line := range strings.Lines(r.next("text")) { // the nodes in any order
		r.third.prints(t, differs.ReplaceAllString(line, "…"))
	}
	answers := strings.SplitAfter(differs.ReplaceAllString(r.next("text"), "…"), "\n")
	r.third.runs(t, questions[1])
	r.third.prints(t, answers[0]+answers[1])
	r.third.runs(t, questions[2])
	r.third.prints(t, answers[2]+answers[3])
	r.third.types(t, strings.TrimSpace(r.next("sh")))
	r.third.shows(t, "metrics at")
	response, err := (&http.Client{Transport: newTransport(t)}).Get(fmt.Sprintf("http://localhost:%d/metrics", inside))
	require.NoError(t, err)
	metrics, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, string(metrics), "\nmesh_peers{")
	r.end(r.third)

	// Delivery.
	r.add(r.next("go"))
	r.goRun()
	r.fourth.prints(t, r.next("text"))

	// When things fail.
	r.end(r.fourth)
	r.runs = 0
	r.first.interrupt(t)
	for line := range strings.Lines(r.next("text")) { // the lines of the log come in any order
		r.second.prints(t, line)
	}
	r.add(r.next("go"))
	r.goRun()
	r.second.interrupt(t)
	r.fourth.prints(t, r.next("text"))

	require.Empty(t, r.blocks)
}

// TestNodeProgramStepByStep follows the steps of docs/node-interop.md. Each of the two programs is once the first
// program and so the hub.
func TestNodeProgramStepByStep(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "go", "node", "npm", "tmux")
	exe, err := meshCommand()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(exe, filepath.Join(bin, "mesh")))
	program, commands := blocks(t, nodeInterop, "js")[0], blocks(t, nodeInterop, "sh")
	require.Contains(t, program, "port: 8888")
	require.Equal(t, "npm install --ignore-scripts\n", commands[0]) // the tests install the packages in the same way
	for _, first := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s first", first), func(t *testing.T) {
			t.Parallel()
			port, folder := interoptest.StablePort(t), nodeFolder(t)
			text := strings.Replace(program, "8888", fmt.Sprint(port), 1)
			require.NoError(t, os.WriteFile(filepath.Join(folder, "lamp.js"), []byte(text), 0o600))
			d, setup := newDesk(t, folder, pathWith(bin)), meshAt(fmt.Sprintf("localhost:%d", port))
			lamp, ours := d.open(t, setup), d.open(t, setup)
			if first == nodeKind {
				lamp.types(t, strings.TrimSpace(commands[1]))
				require.Eventually(t, func() bool { return healthy(t, localAddr(port), "/index.html") }, AwaitTimeout, 5*time.Millisecond)
				ours.types(t, strings.TrimSpace(commands[2]))
				ours.shows(t, "client of the Node.js hub")
			} else {
				ours.types(t, strings.TrimSpace(commands[2]))
				ours.shows(t, "this node is the hub")
				lamp.types(t, strings.TrimSpace(commands[1]))
				client := startGoClient(t, port, mesh.Options{})
				require.Eventually(t, func() bool { return listeners(t, client, "greeting") == 1 }, AwaitTimeout, 5*time.Millisecond)
			}
			d.open(t, setup).runs(t, commands[3])
			lamp.shows(t, "^hello, Node$", "^the lamp is on$")
			ours.shows(t, `"event":"switched","payload":{"state":"on"`)
		})
	}
}
