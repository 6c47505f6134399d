package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const readme, nodeInterop = "../README.md", "../docs/node-interop.md"

func TestDocumentationShowsTheNodeProgramThatIsTested(t *testing.T) {
	tested, err := os.ReadFile("node/readme.js")
	require.NoError(t, err)
	require.Contains(t, blocks(t, nodeInterop, "js"), strings.TrimPrefix(string(tested), "'use strict'\n\n"))
}

func TestPinsAreWhatIsTested(t *testing.T) {
	type manifest struct {
		Private                 bool
		Dependencies, Overrides map[string]any
	}
	var tested manifest
	file, err := os.ReadFile("node/package.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, &tested))
	delete(tested.Overrides, "uws")                // for engine.io 2.1.1, which the mesh does not use
	delete(tested.Dependencies, "playwright-core") // drives the browser
	for name, version := range tested.Dependencies {
		if strings.HasPrefix(version.(string), "npm:") { // the newer peers of the tests
			delete(tested.Dependencies, name)
		}
	}
	var shown manifest
	require.NoError(t, json.Unmarshal([]byte(blocks(t, nodeInterop, "json")[0]), &shown))
	require.Empty(t, cmp.Diff(tested, shown))
}

// engineProgram is the program around the README's lines for Engine.IO.
const engineProgram = "package main\n\nimport (\n\t\"context\"\n\t\"log\"\n\t\"net/http\"\n\n" +
	"\t\"github.com/bigcompany/mesh/engineio\"\n)\n\nfunc main() {\n%s}\n"

func TestReadmesGoProgramsBuild(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	shown := blocks(t, readme, "go")
	require.Len(t, shown, 2)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	const module = "github.com/bigcompany/mesh"
	text := strings.Replace(string(mod), "module "+module, "module example.com/readme", 1) +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + root + "\n"
	for _, program := range []string{shown[0], fmt.Sprintf(engineProgram, shown[1])} {
		dir := t.TempDir()
		for name, content := range map[string]string{"main.go": program, "go.mod": text, "go.sum": string(sums)} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		cmd := exec.CommandContext(t.Context(), "go", "vet", ".")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", program, out)
	}
}
