package backplanetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// testSlowMember has a member that does not return from receive. Meanwhile Publish must not wait: it succeeds, returns
// ErrBackplaneFull, or the backplane drops messages. Then the member continues.
func testSlowMember(t *testing.T, w *world) {
	all := w.join(2)
	publisher, quick := all[0], all[1]
	awake := make(chan struct{})
	wake := sync.OnceFunc(func() { close(awake) })
	defer wake()
	slow := w.add(newID(), func(string, []byte) { <-awake })
	w.meet()
	slow.Subscribe("load::*")
	quick.Subscribe("load::*")
	w.settle()

	const size, most = 500_000, 300 // more than the backplane may queue
	data := make([]byte, size)
	accepted := 0
	watch := StartStopwatch(t)
	for i := range most {
		copy(data, fmt.Sprintf("%d ", i))
		before := watch.Now()
		err := publisher.Publish("load::"+strconv.Itoa(i%3), append([]byte(nil), data...), nil)
		require.Less(t, watch.Now()-before, time.Second, "Publish waited")
		if err == nil {
			accepted++
			continue
		}
		require.ErrorIs(t, err, mesh.ErrBackplaneFull)
		time.Sleep(time.Millisecond) // the publisher may be too fast
	}
	wake()
	// The messages of world may be lost until there is room.
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err = publisher.Publish("load::end", []byte("end"), nil); err == nil &&
			slow.wait(50*time.Millisecond, func() bool { return len(slow.got) > 0 && slow.got[len(slow.got)-1].data == "end" }) {
			break
		}
	}
	require.NoError(t, err)
	w.meet()
	w.settle()
	received := 0
	for _, m := range []*member{slow, quick} {
		last := -1
		n := 0
		for _, text := range texts(m.take()) {
			if text == "end" {
				continue
			}
			require.Len(t, text, size)
			var i int
			_, err := fmt.Sscanf(text, "%d ", &i)
			require.NoError(t, err)
			require.Greater(t, i, last)
			last = i
			n++
		}
		require.Positive(t, n)
		if m == slow {
			received = n
		}
	}
	require.Less(t, received, most, "the queue of a slow member has no bound")
	t.Logf("%d of %d messages of %d bytes accepted, %d received by the slow member", accepted, most, size, received)

	// The members still work.
	publisher.say("load::x", "x")
	w.settle()
	require.Equal(t, []string{"x"}, slow.texts())
	require.Equal(t, []string{"x"}, quick.texts())
}

func testCloseSends(t *testing.T, w *world) {
	listener := w.join(1)[0]
	listener.Subscribe("last::*")
	watch := StartStopwatch(t)
	for range 5 {
		leaving := w.join(1)[0]
		w.settle()
		want := []string{}
		for i := range window {
			text := strconv.Itoa(i)
			want = append(want, text)
			leaving.say("last::"+text, text)
		}
		before := watch.Now()
		w.leave(leaving)
		require.Less(t, watch.Now()-before, 2*time.Second)
		require.Equal(t, want, texts(listener.await(window)))
		require.Error(t, leaving.Publish("last::x", nil, nil))
		require.Error(t, leaving.Err())
	}
	// Its subscriptions ended with it.
	require.Empty(t, listener.texts())
}

func testCloseReceives(t *testing.T, w *world) {
	publisher := w.join(1)[0]
	for range 10 {
		var closed atomic.Bool
		m := w.add(newID(), func(string, []byte) {
			if closed.Load() {
				t.Error("received after Close")
			}
		})
		w.meet()
		m.Subscribe("e", "*", "**")
		w.settle()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := publisher.Publish("e", []byte("e"), nil); err != nil && !errors.Is(err, mesh.ErrBackplaneFull) {
						t.Error(err)
					}
				}
			}
		})
		ok := m.wait(patience, func() bool { return len(m.got) >= 10 })
		w.leave(m)
		closed.Store(true)
		n := len(m.take())
		// Calls that have no effect after Close.
		m.Subscribe("e::x")
		m.Unsubscribe("e")
		time.Sleep(5 * time.Millisecond) // time for a message that must not come
		close(stop)
		wg.Wait()
		require.True(t, ok && n > 0)
		require.Empty(t, m.take())
	}
}

// testRejoin makes a member leave and join again with the same ID.
func testRejoin(t *testing.T, w *world) {
	listener := w.join(1)[0]
	listener.Subscribe("e")
	id := newID()
	for i := range 5 {
		m := w.add(id, nil)
		listener.change(func() { delete(listener.tokens, id) })
		w.meet()
		m.Subscribe("f")
		w.settle()
		said := 0
		for range max(1, 16-8*i) { // fewer each time: a member must receive messages whose numbers begin again
			for range window {
				m.say("e", "e")
				said++
			}
			w.settle()
		}
		listener.say("f", "f")
		w.settle()
		require.Len(t, listener.take(), said)
		require.Len(t, m.take(), 1)
		w.leave(m)
		listener.say("f", "f")
		w.settle()
	}
}

func testEveryMethodAtOnce(t *testing.T, w *world) {
	all := w.join(4)
	end := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	var unheard atomic.Int64
	for n, m := range all {
		for i := range 3 {
			own := fmt.Sprintf("%d::%d", n, i)
			wg.Go(func() {
				for time.Now().Before(end) {
					m.Subscribe(own, own+"::*", own+"::**")
					_ = m.Err()
					m.Unsubscribe(own+"::**", own)
					m.Unsubscribe(own + "::*")
				}
			})
			wg.Go(func() {
				for k := 0; time.Now().Before(end); k++ {
					name := fmt.Sprintf("%d::%d::x", k%len(all), k%3)
					if err := m.Publish(name, payload(k%2000), func() { unheard.Add(1) }); err != nil {
						if !errors.Is(err, mesh.ErrBackplaneFull) && n != 0 {
							t.Error(err)
						}
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
	}
	// Two goroutines close one of the members under load.
	for range 2 {
		wg.Go(func() {
			time.Sleep(150 * time.Millisecond)
			if err := all[0].Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.leave(all[0])
	w.meet() // messages may have been lost under the load
	w.settle()
	require.Positive(t, unheard.Load())
}
