package engineio_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the names of tests in docs/security.md")

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

// Each block of Go or HTML on the page is a literal part of a file of the project.
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

// proofs returns the names of the tests, fuzz targets, benchmarks and examples of all packages, each with the published
// faults that its comment lists. The list begins with "Advisories: " at the start of a line, and ends the comment.
func proofs(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	named := regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		ofProofs := make(map[*ast.CommentGroup]bool)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && named.MatchString(f.Name.Name) {
				all[f.Name.Name] = append(all[f.Name.Name], advisories(f.Doc)...)
				ofProofs[f.Doc] = true
			}
		}
		for _, c := range file.Comments {
			require.True(t, ofProofs[c] || advisories(c) == nil, "%s: this comment lists advisories, but belongs to no test: %s", path, c.Text())
		}
		return nil
	}))
	return all
}

func advisories(c *ast.CommentGroup) []string {
	_, list, found := strings.Cut("\n"+c.Text(), "\nAdvisories: ")
	if !found {
		return nil
	}
	return strings.Split(strings.Join(strings.Fields(list), " "), ", ")
}

// Each test that the pages name exists.
func TestDocumentationNamesTestsThatExist(t *testing.T) {
	exists := proofs(t)
	for name, text := range map[string]string{"docs/engineio.md": page(t), "docs/security.md": security(t)} {
		named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w+)`").FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, named)
		for _, n := range named {
			_, ok := exists[n[1]]
			require.True(t, ok, "%s names %s, which no file declares", name, n[1])
		}
	}
}

// The table of published faults is between these lines of docs/security.md.
const (
	faultsBegin = "<!-- The names of the tests in this table come from: go test ./engineio -run PublishedFaults -update -->\n"
	faultsEnd   = "<!-- The end of the table -->\n"
)

// Each row of the table of published faults names the tests whose comments list its faults, or says why the row does
// not apply. With -update, the test writes the names of the tests.
func TestDocumentationCoversPublishedFaults(t *testing.T) {
	head, rest, begins := strings.Cut(security(t), faultsBegin)
	old, tail, ends := strings.Cut(rest, faultsEnd)
	require.True(t, begins && ends, "docs/security.md needs the lines %q and %q", faultsBegin, faultsEnd)
	testsOf := make(map[string][]string)
	for name, faults := range proofs(t) {
		for _, fault := range faults {
			testsOf[fault] = append(testsOf[fault], name)
		}
	}
	var table strings.Builder
	covered := make(map[string]bool)
	for line := range strings.Lines(old) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| fault |") || strings.Contains(line, " | does not apply: ") {
			table.WriteString(line)
			continue
		}
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		require.GreaterOrEqual(t, len(cells), 2, line)
		var tests []string
		for text := range strings.SplitSeq(cells[0], ", ") {
			fault := faultIn(text, testsOf)
			if fault == "" {
				t.Errorf("docs/security.md has a row for %q, but no comment of a test lists it, and the row's last cell does not begin with \"does not apply: \"", text)
			}
			covered[fault] = true
			tests = append(tests, testsOf[fault]...)
		}
		slices.Sort(tests)
		fmt.Fprintf(&table, "| %s | %s | `%s` |\n", cells[0], cells[1], strings.Join(slices.Compact(tests), "`, `"))
	}
	for fault, tests := range testsOf {
		if !covered[fault] {
			t.Errorf("docs/security.md has no row with tests for %q, but the comment of %s lists it", fault, strings.Join(tests, ", "))
		}
	}
	if t.Failed() {
		return
	}
	require.NotEmpty(t, covered)
	if *update {
		require.NoError(t, os.WriteFile("../docs/security.md", []byte(head+faultsBegin+table.String()+faultsEnd+tail), 0o644)) //nolint:gosec // not secret
		return
	}
	require.Empty(t, cmp.Diff(table.String(), old), "run 'go test ./engineio -run PublishedFaults -update'")
}

// faultIn returns the fault with which the text begins. The remaining words name the program that had the fault.
func faultIn(text string, testsOf map[string][]string) string {
	words := strings.Fields(text)
	for n := len(words); n > 0; n-- {
		if fault := strings.Join(words[:n], " "); testsOf[fault] != nil {
			return fault
		}
	}
	return ""
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
