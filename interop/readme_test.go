package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const readme, nodeInterop = "../README.md", "../docs/node-interop.md"

func TestReadmeShowsTheNodeProgramThatIsTested(t *testing.T) {
	tested, err := os.ReadFile("node/readme.js")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(strings.TrimPrefix(string(tested), "'use strict'\n\n"), blocks(t, readme, "js")[0]))
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
	delete(tested.Overrides, "uws")                // for engine.io 2.1.1, which is none of the mesh's
	delete(tested.Dependencies, "playwright-core") // drives the browser
	for name, version := range tested.Dependencies {
		if strings.HasPrefix(version.(string), "npm:") { // the newer peers of the tests
			delete(tested.Dependencies, name)
		}
	}
	for _, page := range []string{readme, nodeInterop} {
		var shown manifest
		require.NoError(t, json.Unmarshal([]byte(blocks(t, page, "json")[0]), &shown))
		require.Empty(t, cmp.Diff(tested, shown), page)
	}
}

func TestReadmesGoProgramBuilds(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	const module = "github.com/bigcompany/mesh"
	text := strings.Replace(string(mod), "module "+module, "module example.com/readme", 1) +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + root + "\n"
	for name, content := range map[string]string{"main.go": blocks(t, readme, "go")[0], "go.mod": text, "go.sum": string(sums)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
