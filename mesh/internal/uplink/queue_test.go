package uplink

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQueueKeepsOrderWhileFilledAndEmptied(t *testing.T) {
	q := queue{limit: 1 << 20}
	next, want := 0, 0
	for round := range 200 {
		for range round % 7 {
			require.True(t, q.push(queued{event: fmt.Sprint(next)}))
			next++
		}
		for range round % 5 {
			if q.empty() {
				break
			}
			require.Equal(t, fmt.Sprint(want), q.front().event)
			q.pop()
			want++
		}
	}
	for !q.empty() {
		require.Equal(t, fmt.Sprint(want), q.front().event)
		q.pop()
		want++
	}
	require.Equal(t, want, next)
	require.Zero(t, q.bytes)
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	q := queue{limit: 10_000}
	n := 0
	for q.push(queued{event: "e", payload: []byte(strings.Repeat("1", 871))}) {
		n++
	}
	require.Equal(t, 10, n)
	q.pop()
	require.True(t, q.push(queued{event: "e", payload: []byte(strings.Repeat("1", 871))}))
	require.False(t, q.push(queued{event: "e"}))
}

func TestQueueTakesWhatIsLargerThanItsLimitWhenAlone(t *testing.T) {
	q := queue{limit: 10}
	require.True(t, q.push(queued{event: "large", payload: []byte("123456")}))
	require.False(t, q.push(queued{event: "e"}))
}
