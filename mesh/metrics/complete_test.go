package metrics

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// TestEveryCounterOfStatsIsShownOnce fails when mesh.Stats has a counter that no metric shows.
func TestEveryCounterOfStatsIsShownOnce(t *testing.T) {
	for i, field := range reflect.VisibleFields(reflect.TypeFor[mesh.Stats]()) {
		if field.Type.Kind() != reflect.Uint64 {
			continue
		}
		var s mesh.Stats
		reflect.ValueOf(&s).Elem().Field(i).SetUint(7)
		sum := uint64(0)
		for _, c := range counters {
			sum += c.of(&s)
		}
		for _, r := range reasons {
			sum += r.of(&s)
		}
		require.EqualValues(t, 7, sum, field.Name)
	}
}

func TestReasonsAreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "| `reason` | |\n|---|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	var documented, shown []string
	for row := range strings.Lines(table) {
		documented = append(documented, strings.Split(row, "`")[1])
	}
	for _, r := range reasons {
		shown = append(shown, r.name)
	}
	require.Equal(t, shown, documented)
}
