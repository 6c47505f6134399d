package interop

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linked   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestDocumentationLinksToWhatIsThere follows each link from one of our pages to another page or to a heading.
func TestDocumentationLinksToWhatIsThere(t *testing.T) {
	t.Parallel()
	pages := []string{"../README.md", "../CHANGELOG.md", "../examples/README.md", "../.github/CONTRIBUTING.md", "../.github/SECURITY.md"}
	docs, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	for _, page := range append(pages, docs...) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			u, err := url.Parse(link[1])
			require.NoError(t, err, "in %s", page)
			if u.Scheme != "" {
				continue
			}
			target := page
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(page), u.Path)
			}
			_, err = os.Stat(target) // a folder, too
			require.NoError(t, err, "%s links to %s", page, link[1])
			if u.Fragment != "" {
				require.Contains(t, anchors(t, target), u.Fragment, "%s links to %s", page, link[1])
			}
		}
	}
}

// anchors returns the anchors that hosts of Markdown give to the headings of a page.
func anchors(t *testing.T, page string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
		all = append(all, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}

// TestDocumentedTestsExist checks that each test, benchmark and example that a page names exists.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	exists := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Example)\w*)\(`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "node_modules" { // npm may be writing it
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range function.FindAllStringSubmatch(string(text), -1) {
			exists[name[1]] = true
		}
		return err
	}))
	pages, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile("`((?:Test|Benchmark|Example)[A-Z]\\w*)`").FindAllStringSubmatch(string(text), -1) {
			require.True(t, exists[name[1]], "%s in %s", name[1], page)
			found++
		}
	}
	require.NotZero(t, found)
}
