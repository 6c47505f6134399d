package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// block returns the README's first block of code in a language.
func block(t *testing.T, language string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, found, "the README has no block of %s", language)
	return string(found[1])
}

func TestReadmeShowsTheNodeProgramThatIsTested(t *testing.T) {
	tested, err := os.ReadFile("node/readme.js")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(strings.TrimPrefix(string(tested), "'use strict'\n\n"), block(t, "js")))
}

func TestReadmePinsWhatIsTested(t *testing.T) {
	type manifest struct {
		Dependencies map[string]string
		Overrides    map[string]any
	}
	var shown, tested manifest
	require.NoError(t, json.Unmarshal([]byte(block(t, "json")), &shown))
	file, err := os.ReadFile("node/package.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, &tested))
	delete(tested.Overrides, "uws") // for engine.io 2.1.1, which is none of the mesh's
	require.Empty(t, cmp.Diff(tested.Overrides, shown.Overrides))
	delete(tested.Dependencies, "playwright-core") // drives the browser
	for name := range tested.Dependencies {
		if strings.HasPrefix(tested.Dependencies[name], "npm:") { // the newer peers of the tests
			delete(tested.Dependencies, name)
		}
	}
	require.Empty(t, cmp.Diff(tested.Dependencies, shown.Dependencies))
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
	for name, content := range map[string]string{"main.go": block(t, "go"), "go.mod": text, "go.sum": string(sums)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
