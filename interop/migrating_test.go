package interop

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

const migrating = "../docs/migrating.md"

// rows returns the cells of the page's tables, row by row.
func rows(t *testing.T, page string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && !strings.HasPrefix(line, "|---") {
			all = append(all, cells[1:len(cells)-1])
		}
	}
	require.NotEmpty(t, all)
	return all
}

// exports is a program that prints the public names of the original and of its dependencies, in the form of
// docs/migrating.md. It names the members of every emitter after emitter, and the members of every resource after
// creature. Names that start with _ are private.
const exports = `
const Mesh = require('resource-mesh/lib/Mesh'), mesh = require('resource-mesh'), resource = require('resource')
const { EventEmitter2 } = require('eventemitter2')
const emitter = new EventEmitter2({ wildcard: true, delimiter: '::', newListener: true })
const creature = resource.define('creature'), talk = creature.method('talk', () => {}), one = new Mesh()
const of = (owner, object, ...without) => Object.keys(object)
	.filter(name => name[0] !== '_' && !without.some(other => name in other)).map(name => owner + '.' + name)
const names = [
	...of('mesh', mesh, creature, emitter), ...of('mesh', one), ...of('mesh', Mesh.prototype),
	...of('emitter', EventEmitter2.prototype), ...of('resource', resource, emitter, { mesh, creature }), 'resource.emit',
	...of('creature', creature, emitter), 'creature.emit', ...of('creature.talk', talk)
]
console.log(JSON.stringify({ event: 'names', result: names }))`

// TestEachNameOfTheOriginalHasItsCounterpart looks for the names that the packages export, and for the options that
// they read, in the first column of the tables.
func TestEachNameOfTheOriginalHasItsCounterpart(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "node", "npm")
	dir, err := install()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "-e", exports)
	cmd.Dir = dir
	var names []string
	require.NoError(t, json.Unmarshal(startProgram(t, "exports", cmd).Node().MustAwait(t, "names").Result, &names))
	require.Greater(t, len(names), 40)

	// Options, the fields that the client passes to its callback, and the fields of a Mesh that are set later.
	read := map[*regexp.Regexp]string{
		regexp.MustCompile(`\b(?:options|opts)\.(\w+)`):                    "",
		regexp.MustCompile(`\bmesh\.(\w+) = `):                             "mesh.",
		regexp.MustCompile(`(?m)^    (\w+): (?:options|resource|new|"\w)`): "",
	}
	for _, folder := range []string{"resource-mesh/lib", "resource-http/lib/listen.js"} {
		root := filepath.Join(dir, "node_modules", folder)
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".js" || filepath.Base(filepath.Dir(path)) == "public" {
				return err
			}
			text, err := os.ReadFile(path)
			for pattern, owner := range read {
				for _, found := range pattern.FindAllStringSubmatch(string(text), -1) {
					names = append(names, owner+found[1])
				}
			}
			return err
		}))
	}
	require.Subset(t, names, []string{"auth", "root", "mesh.server", "lastSeen", "emitter.listenersAny", "resource.define", "creature.timestamps"})

	var first strings.Builder
	for _, cells := range rows(t, migrating) {
		first.WriteString(cells[0] + "\n")
	}
	for _, name := range names {
		require.Regexp(t, "`(?:new )?"+regexp.QuoteMeta(name)+"(?:\\(.*?\\))?`", first.String(), "%s is not in the tables", name)
	}
}

// exported returns the names of package mesh: mesh.Name for functions, types and values, Type.Name for methods and
// fields. A type that is an alias has the methods and fields of the type in the other package.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	packages := make(map[string]map[string]bool) // the names of each package
	aliases := make(map[string]*ast.SelectorExpr)
	for _, pattern := range []string{"../mesh/*.go", "../mesh/internal/*/*.go", "../protocol/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			names := packages[file.Name.Name]
			if names == nil {
				names = make(map[string]bool)
				packages[file.Name.Name] = names
			}
			for _, d := range file.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					owner := file.Name.Name
					if d.Recv != nil {
						owner = receiver(d.Recv.List[0].Type)
					}
					names[owner+"."+d.Name.Name] = true
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						declare(names, file.Name.Name, spec)
						if spec, ok := spec.(*ast.TypeSpec); ok && file.Name.Name == "mesh" && spec.Assign.IsValid() {
							if other, ok := spec.Type.(*ast.SelectorExpr); ok {
								aliases[spec.Name.Name] = other
							}
						}
					}
				}
			}
		}
	}
	names := packages["mesh"]
	for alias, other := range aliases {
		for name := range packages[other.X.(*ast.Ident).Name] {
			if member, ok := strings.CutPrefix(name, other.Sel.Name+"."); ok {
				names[alias+"."+member] = true
			}
		}
	}
	return names
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr: // a type with a type parameter
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func declare(names map[string]bool, owner string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names[owner+"."+name.Name] = true
		}
	case *ast.TypeSpec:
		names[owner+"."+spec.Name.Name] = true
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					names[spec.Name.Name+"."+name.Name] = true
				}
			}
		}
	}
}

// TestDocumentedNamesOfGoExist checks the names in backquotes on the pages: `mesh.Start`, `node.On`, `Options.Addr`.
func TestDocumentedNamesOfGoExist(t *testing.T) {
	t.Parallel()
	names := exported(t)
	require.True(t, names["mesh.Start"] && names["Node.On"] && names["Options.Addr"] && names["Resource.Call"])
	spans, goName := regexp.MustCompile("`[^`\n]+`"), regexp.MustCompile(`\b(mesh|node|[A-Z]\w*)\.([A-Z]\w*)`)
	counterparts := 0
	for _, page := range []string{migrating, nodeInterop, deployment, readme, "../docs/guide.md", "../docs/browser.md", "../docs/metrics.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, span := range spans.FindAllString(string(text), -1) {
			for _, name := range goName.FindAllStringSubmatch(span, -1) {
				owner := strings.Replace(name[1], "node", "Node", 1)
				if owner != "mesh" && !names["mesh."+owner] {
					continue // of another package
				}
				require.True(t, names[owner+"."+name[2]], "%s in %s: there is no such name", span, page)
				if page == migrating {
					counterparts++
				}
			}
		}
	}
	require.Greater(t, counterparts, 60)
}

// TestProgramsBeforeAndAfterDoTheSame runs both programs of docs/migrating.md. Both must behave in the same way.
func TestProgramsBeforeAndAfterDoTheSame(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "node", "npm")
	for _, language := range []string{"js", "go"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth("ann", "secret")})
			hub.on(t, "ready")
			source := blocks(t, migrating, language)[0]
			require.Contains(t, source, "8888")
			_, port, _ := strings.Cut(hub.Addr(), ":")
			source = strings.NewReplacer("8888", port, "localhost", "127.0.0.1").Replace(source)
			var cmd *exec.Cmd
			if language == "go" {
				cmd = exec.CommandContext(t.Context(), buildSource(t, source))
			} else {
				folder := nodeFolder(t)
				require.NoError(t, os.WriteFile(filepath.Join(folder, "before.js"), []byte(source), 0o600))
				cmd = exec.CommandContext(t.Context(), "node", filepath.Join(folder, "before.js"))
			}
			var said interoptest.Buffer
			cmd.Stdout = &said
			require.NoError(t, cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			require.Contains(t, string(requireHeard(t, hub.events, "ready").Payload), `"name":"lamp"`)
			require.Eventually(t, func() bool { return listeners(t, hub, "lamp::switch") == 1 && listeners(t, hub, "greeting") == 1 },
				AwaitTimeout, time.Millisecond)
			hub.emit(t, "greeting", `{"text":"hello"}`)
			hub.emit(t, "lamp::switch", `"on"`)
			require.Eventually(t, func() bool { return said.String() == "greeting hello\nthe lamp is on\n" }, AwaitTimeout, time.Millisecond,
				"%s", &said)
		})
	}
}

// TestTheHubIsReplacedAndPutBack follows the steps of docs/migrating.md, and the steps back.
func TestTheHubIsReplacedAndPutBack(t *testing.T) {
	t.Parallel()
	s := &star{port: interoptest.StablePort(t)}
	before := startNodeMember(t)
	before.listen(t, Command{Port: s.port})
	var originals []nodeMember
	for range 2 {
		m := startNodeMember(t)
		m.connect(t, Command{Port: s.port, Retry: 50})
		originals = append(originals, m)
	}
	ours := startGoClient(t, s.port, mesh.Options{})
	s.clients = []member{originals[0], originals[1], ours}
	for _, c := range s.clients {
		c.on(t, "ping")
		c.on(t, "done")
	}
	replaced := func(hub member, end func()) {
		t.Helper()
		if s.hub != nil {
			for _, m := range originals {
				m.MustAwait(t, "connected")
			}
			ours.events.MustAwait(t, "disconnected")
			ours.events.MustAwait(t, "connected")
		}
		s.hub = hub
		hub.on(t, "ping")
		hub.on(t, "mark")
		s.sync(t)
		for _, from := range append([]member{s.hub}, s.clients...) {
			s.requireRound(t, from, "ping", 1, 1, 1, 1)
		}
		end()
	}
	replaced(before, before.peer.Kill)
	hub := startGoHub(t, mesh.Options{Addr: localAddr(s.port)})
	replaced(hub, func() { require.NoError(t, hub.Close()) })
	again := startNodeMember(t)
	again.listen(t, Command{Port: s.port})
	replaced(again, func() {})
}

// TestTheHubOfStep4MutesNoFleet starts the hub with the commands of docs/migrating.md, for a fleet without passwords
// and for a fleet with passwords.
func TestTheHubOfStep4MutesNoFleet(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "node", "npm")
	exe, err := meshCommand()
	require.NoError(t, err)
	commands := blocks(t, migrating, "sh")
	for i, tc := range []struct{ user, password string }{{"", ""}, {"ann", "secret"}} {
		t.Run("user "+tc.user, func(t *testing.T) {
			t.Parallel()
			port := interoptest.StablePort(t)
			args := strings.Fields(commands[i])
			require.Equal(t, []string{"mesh", "listen", "--addr", "0.0.0.0:8888"}, args[:4])
			args[3] = localAddr(port)
			cmd := exec.CommandContext(t.Context(), exe, args[1:]...)
			cmd.Dir = t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(cmd.Dir, "password.txt"), []byte("secret\n"), 0o600))
			var said interoptest.Buffer
			cmd.Stderr = &said
			require.NoError(t, cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			require.Eventually(t, func() bool { return healthy(t, localAddr(port), "/healthz") }, AwaitTimeout, 5*time.Millisecond, "%s", &said)
			a, b := startNodeMember(t), startNodeMember(t)
			for _, m := range []nodeMember{a, b} {
				m.connect(t, Command{Port: port, User: tc.user, Password: tc.password})
				m.on(t, "ping")
			}
			require.Eventually(t, func() bool { // the other node's table may arrive after the first event
				a.emit(t, "ping", `{"n":1}`)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				_, err := b.heard().Await(ctx, "heard")
				return err == nil
			}, AwaitTimeout, time.Millisecond)
		})
	}
}
