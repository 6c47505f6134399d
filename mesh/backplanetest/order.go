package backplanetest

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// window is the number of small messages that a test has in flight at once when none of them may be lost.
const window = 64

// testOrder publishes numbers under several names, while its subscribers subscribe and unsubscribe.
func testOrder(t *testing.T, w *world) {
	all := w.join(3)
	publisher, steady, wavering := all[0], all[1], all[2]
	events := []string{"n::0", "n::1", "m::0", "x", "n::0::z", "y::y::y"}
	overlapping := []string{"n::*", "*::0", "n::**", "**::0", "x", "*", "**::z", "*::*::*", "n::0"}
	steady.Subscribe("**")
	w.settle()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, m := range []*member{steady, wavering} {
		wg.Go(func() {
			for i := 0; ; i++ {
				pattern := overlapping[i%len(overlapping)]
				m.Subscribe(pattern)
				if i >= 4 {
					m.Unsubscribe(overlapping[(i-4)%len(overlapping)])
				}
				select {
				case <-stop:
					return
				default:
				}
				// Change the subscriptions after each message.
				m.mu.Lock()
				changed := m.changed
				m.mu.Unlock()
				select {
				case <-changed:
				case <-stop:
					return
				}
			}
		})
	}
	const n = 50 * window
	for i := range n {
		publisher.say(events[i%7%len(events)], strconv.Itoa(i))
		if i%window == window-1 {
			w.settle()
		}
	}
	w.settle()
	close(stop)
	wg.Wait()
	got := steady.texts()
	require.Len(t, got, n)
	for i, text := range got {
		require.Equal(t, strconv.Itoa(i), text)
	}
	last := -1
	got = wavering.texts()
	for _, text := range got {
		i, err := strconv.Atoi(text)
		require.NoError(t, err)
		require.Greater(t, i, last)
		last = i
	}
	require.NotEmpty(t, got)
}

func testFourPublishers(t *testing.T, w *world) {
	all := w.join(5)
	publishers, listener := all[:4], all[4]
	events := []string{"a", "a::b", "c", "a::b::c"}
	listener.Subscribe("**", "a", "a::*", "c", "a::**")
	for _, m := range publishers {
		m.Subscribe("a::b", "a::*")
	}
	w.settle()
	const rounds = 50
	for round := range rounds {
		var wg sync.WaitGroup
		for _, m := range publishers {
			wg.Go(func() {
				for i := range window / 4 {
					if err := m.Publish(events[i%len(events)], []byte(strconv.Itoa(round*window/4+i)), nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		w.settle()
	}
	next := make(map[string]int)
	for _, msg := range listener.take() {
		require.Equal(t, strconv.Itoa(next[msg.from]), msg.data)
		next[msg.from]++
	}
	for _, m := range publishers {
		require.Equal(t, rounds*window/4, next[m.id])
		last := make(map[string]int)
		for _, msg := range m.take() {
			i, err := strconv.Atoi(msg.data)
			require.NoError(t, err)
			require.Equal(t, "a::b", events[i%len(events)])
			if i > 1 {
				require.Equal(t, last[msg.from]+len(events), i)
			}
			last[msg.from] = i
		}
		require.Len(t, last, 3)
	}
}

// testCausality makes a member subscribe and then publish. All others reply at once to each message.
func testCausality(t *testing.T, w *world) {
	const echoing = 3
	for range echoing {
		id := newID()
		var m *member
		m = w.add(id, func(_ string, data []byte) {
			if err := m.Publish(string(data), []byte(id), nil); err != nil {
				t.Error(err)
			}
		})
		m.Subscribe("question::**")
	}
	asking := w.join(2)
	w.settle()
	for i := range 100 {
		for n, m := range asking {
			pattern := fmt.Sprintf("answer%d::%d", i, n)
			name := pattern
			switch i % 4 {
			case 1:
				pattern = fmt.Sprintf("answer%d::%d::*", i, n)
				name = fmt.Sprintf("answer%d::%d::x", i, n)
			case 2:
				pattern = fmt.Sprintf("answer%d::%d::**", i, n)
			case 3:
				name = fmt.Sprintf("$answer%d-%d", i, n)
				pattern = name
			}
			m.Subscribe(pattern)
			m.say("question::x", name)
			defer m.Unsubscribe(pattern)
		}
		for _, m := range asking {
			require.Len(t, m.await(echoing), echoing)
		}
	}
}
