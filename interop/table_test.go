package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// expected returns the results of a run in which all exchanges end as expected.
func expected() []results {
	var all []results
	for _, p := range slices.Concat(ourPairs, references) {
		res := results{pair: p, notRun: p.unavailable, outcomes: newRunner(ourPairs).outcomes(p)}
		for i, o := range res.outcomes {
			res.outcomes[i].shown = o.fault != nil
		}
		all = append(all, res)
	}
	return all
}

func TestDocumentationHasTheTableAsPrinted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/interop.md")
	require.NoError(t, err)
	_, shown, _ := strings.Cut(string(page), "\n## Engine.IO\n")
	shown, _, _ = strings.Cut(shown, "\n## ")
	start := strings.Index(shown, "| peer ")
	require.GreaterOrEqual(t, start, 0, "no table below the heading")
	var printed bytes.Buffer
	require.NoError(t, newMatrix(expected()).WriteMarkdown(&printed))
	require.Empty(t, cmp.Diff(printed.String(), shown[start:start+min(len(shown)-start, printed.Len())]),
		"paste the output of the command")
	require.Contains(t, strings.Join(strings.Fields(shown), " "), legend(modes), "the meaning of the marks of a column")
}

func TestTableTellsOfFailures(t *testing.T) {
	t.Parallel()
	all := expected()
	all[3].outcomes[0].err = errors.New("it did not arrive")
	x := newMatrix(all)
	require.Equal(t, []string{"engine.io-client 6.6.8, revision 4, polling, text: it did not arrive"}, x.Failures())
	var out bytes.Buffer
	require.NoError(t, x.WriteMarkdown(&out))
	row := strings.Split(out.String(), "\n")[2+3]
	require.Contains(t, row, "| engine.io-client 6.6.8 ")
	require.Contains(t, row, "| ✗ ✓ ✓ ")
	require.Equal(t, 1, strings.Count(out.String(), "✗"))
}

func TestAFaultThatNoReferenceShowsIsAFailure(t *testing.T) {
	t.Parallel()
	all := expected()
	require.NotEmpty(t, newMatrix(all).Notes)
	require.Empty(t, newMatrix(all).Failures())
	for _, res := range all {
		for i := range res.outcomes {
			res.outcomes[i].shown = res.pair.isOurs() && res.outcomes[i].shown
		}
	}
	x := newMatrix(all)
	require.Empty(t, x.Notes)
	require.NotEmpty(t, x.Failures())
}

func TestTableAsJSON(t *testing.T) {
	t.Parallel()
	want := newMatrix(expected())
	var out bytes.Buffer
	require.NoError(t, want.WriteJSON(&out))
	got := new(Matrix)
	require.NoError(t, json.Unmarshal(out.Bytes(), got))
	require.Empty(t, cmp.Diff(want, got))
}
