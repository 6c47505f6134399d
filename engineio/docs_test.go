package engineio_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// page returns the page for users. security returns the page on threats.
func page(t *testing.T) string { return doc(t, "engineio.md") }

func security(t *testing.T) string { return doc(t, "security.md") }

func doc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	require.NoError(t, err)
	return string(text)
}

// files returns the concatenated contents of the files that match the patterns.
func files(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		require.NoError(t, err)
		require.NotEmpty(t, found, p)
		for _, name := range found {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			all.Write(text)
		}
	}
	return all.String()
}

// Each code block of the page is a literal part of a compiled file.
func TestDocumentationShowsWhatIsCompiled(t *testing.T) {
	of := map[string]string{
		"go":   files(t, "example_*_test.go", "../examples/quickstart/*/main.go"),
		"html": files(t, "../examples/quickstart/*/*.html"),
	}
	blocks := regexp.MustCompile("(?s)```(go|html)\n(.*?)```").FindAllStringSubmatch(page(t), -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		require.Contains(t, of[b[1]], b[2])
	}
}

// proofs returns the names of the tests, fuzz targets, benchmarks and examples of all packages.
func proofs(t *testing.T) map[string]bool {
	t.Helper()
	exists := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w+)\(`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, f := range declared.FindAllSubmatch(text, -1) {
			exists[string(f[1])] = true
		}
		return err
	}))
	return exists
}

// Each test that the pages name exists.
func TestDocumentationNamesTestsThatExist(t *testing.T) {
	exists := proofs(t)
	for name, text := range map[string]string{"docs/engineio.md": page(t), "docs/security.md": security(t)} {
		named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w+)`").FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, named)
		for _, n := range named {
			require.True(t, exists[n[1]], "%s names %s, which no file declares", name, n[1])
		}
	}
}

// Each published fault names a test, or states why it does not apply. The table names each TestAdvisory_ test.
func TestDocumentationCoversPublishedFaults(t *testing.T) {
	_, table, found := strings.Cut(security(t), "\n## Published faults\n")
	require.True(t, found)
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| fault |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		require.Len(t, cells, 3, line)
		require.True(t, strings.Contains(cells[2], "`Test") || strings.HasPrefix(cells[2], "does not apply: "), line)
	}
	require.NotZero(t, rows)
	for name := range proofs(t) {
		if strings.HasPrefix(name, "TestAdvisory_") {
			require.Contains(t, table, "`"+name+"`", "docs/security.md does not know it")
		}
	}
}

// Each row of the coverage table names a test, or states that the feature is not built.
func TestDocumentationCoversTheReference(t *testing.T) {
	_, coverage, found := strings.Cut(page(t), "\n## Coverage\n")
	require.True(t, found)
	rows := 0
	for line := range strings.Lines(coverage) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| there |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		require.GreaterOrEqual(t, len(cells), 2, line)
		require.LessOrEqual(t, len(cells), 3, line)
		proof := len(cells) == 3 && regexp.MustCompile("`(Test|Example)[A-Z]").MatchString(cells[2])
		require.True(t, proof || strings.Contains(cells[1], "not built"), "no proof and no reason: %s", line)
	}
	require.NotZero(t, rows)
}
