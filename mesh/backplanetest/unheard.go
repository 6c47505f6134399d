package backplanetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unheards counts the calls of unheard for each message.
type unheards struct {
	t     *testing.T
	calls []*atomic.Int32
	news  chan struct{}
}

// publish publishes a message and returns its number.
func (u *unheards) publish(m *member, name string) int {
	u.t.Helper()
	calls := new(atomic.Int32)
	u.calls = append(u.calls, calls)
	require.NoError(u.t, m.Publish(name, []byte(name), func() {
		calls.Add(1)
		u.news <- struct{}{}
	}))
	return len(u.calls) - 1
}

func (u *unheards) await(n int) {
	u.t.Helper()
	timeout := time.After(patience)
	for u.calls[n].Load() == 0 {
		select {
		case <-u.news:
		case <-timeout:
			require.Fail(u.t, "unheard was not called")
		}
	}
}

func testUnheard(t *testing.T, w *world) {
	all := w.join(3)
	publisher, listener, other := all[0], all[1], all[2]
	u := &unheards{t: t, news: make(chan struct{}, 1000)}
	want := []int32{}
	// heard and unheard publish a message, and wait until the result is known. The result for a message is known before
	// the result for a later message without a subscriber.
	unheard := func(name string) {
		t.Helper()
		u.await(u.publish(publisher, name))
		want = append(want, 1)
	}
	heard := func(name string, by ...*member) {
		t.Helper()
		u.publish(publisher, name)
		want = append(want, 0)
		unheard("nobody")
		w.settle()
		for _, m := range by {
			require.Equal(t, []string{name}, m.texts())
		}
	}

	unheard("e")
	unheard("a::b")
	unheard("$nobody")
	unheard("any\r\n.>\x00")

	publisher.Subscribe("e", "a::*", "$nobody")
	w.settle()
	unheard("e")
	unheard("a::b")
	unheard("$nobody")

	for _, pattern := range []string{"e", "*", "**"} {
		listener.Subscribe(pattern)
		w.settle()
		if pattern == "e" {
			heard("e", listener)
		} else { // these patterns match "nobody", too
			u.publish(publisher, "e")
			want = append(want, 0)
			w.settle()
			require.Equal(t, []string{"e"}, listener.texts())
		}
		unheard("$nobody")
		listener.Unsubscribe(pattern)
		w.settle()
		unheard("e")
	}
	listener.Subscribe("a::*", "a::**", "$somebody")
	other.Subscribe("a::b")
	w.settle()
	heard("a::b", listener, other)
	heard("$somebody", listener)
	listener.Unsubscribe("a::*")
	w.settle()
	heard("a::b", listener, other)
	w.leave(listener)
	w.settle()
	heard("a::b", other)
	w.leave(other)
	// A member that has left sends nothing, so the backplane notices a little later that it has gone.
	for known := false; !known; {
		n := u.publish(publisher, "a::b")
		want = append(want, 0)
		unheard("nobody")
		if known = u.calls[n].Load() > 0; known {
			want[n] = 1
		}
		require.Less(t, n, 10_000, "a member that has left counts")
	}

	got := []int32{}
	for _, calls := range u.calls {
		got = append(got, calls.Load())
	}
	require.Equal(t, want, got)
}
