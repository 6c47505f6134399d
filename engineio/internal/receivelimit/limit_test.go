package receivelimit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

func notEvicted(t *testing.T) func() {
	return func() { t.Error("a message was evicted") }
}

func TestGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := receivelimit.New(100)
		first, second := l.Begin(notEvicted(t)), l.Begin(notEvicted(t))
		require.NoError(t, first.Grow(t.Context(), 80))
		require.NoError(t, second.Grow(t.Context(), 20))
		require.Equal(t, 100, l.InUse())

		grown := make(chan error, 1)
		go func() { grown <- second.Grow(t.Context(), 50) }()
		synctest.Wait()
		require.Empty(t, grown, "the second message waits at the limit")
		require.NoError(t, first.Grow(t.Context(), 1000), "the first message may exceed the limit")
		require.False(t, first.End())
		require.NoError(t, <-grown)
		require.Equal(t, 70, l.InUse())
		require.False(t, second.End())
		require.Zero(t, l.InUse())
	})
}

func TestEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := receivelimit.New(100)
		evicted := make(chan struct{}, 1)
		slow := l.Begin(func() { evicted <- struct{}{} })
		require.NoError(t, slow.Grow(t.Context(), 100))
		start := time.Now()
		next := l.Begin(notEvicted(t))
		require.NoError(t, next.Grow(t.Context(), 60))
		require.Equal(t, receivelimit.SlowSenderTimeout, time.Since(start))
		<-evicted
		require.True(t, slow.Evicted())
		require.ErrorIs(t, slow.Grow(t.Context(), 1), receivelimit.ErrEvicted)
		require.True(t, slow.End())
		require.False(t, next.Evicted())
		require.Equal(t, 60, l.InUse(), "the evicted message is not counted")
		require.False(t, next.End())
	})
}

// The time for which a message had to wait does not count as the sender's time.
func TestWaitingTimeIsNotTheSendersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := receivelimit.New(100)
		first, second := l.Begin(notEvicted(t)), l.Begin(notEvicted(t))
		require.NoError(t, first.Grow(t.Context(), 100))
		grown := make(chan error, 1)
		go func() { grown <- second.Grow(t.Context(), 100) }()
		time.Sleep(receivelimit.SlowSenderTimeout - time.Millisecond)
		require.False(t, first.End())
		require.NoError(t, <-grown)

		third := l.Begin(notEvicted(t))
		go func() { grown <- third.Grow(t.Context(), 100) }()
		time.Sleep(receivelimit.SlowSenderTimeout - time.Millisecond)
		require.False(t, second.Evicted(), "the second message has had almost no time yet")
		require.False(t, second.End())
		require.NoError(t, <-grown)
		require.False(t, third.End())
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := receivelimit.New(100)
		first, second := l.Begin(notEvicted(t)), l.Begin(notEvicted(t))
		require.NoError(t, first.Grow(t.Context(), 100))
		ctx, cancel := context.WithCancelCause(t.Context())
		grown := make(chan error, 1)
		go func() { grown <- second.Grow(ctx, 1) }()
		synctest.Wait()
		cause := errors.New("the session has ended")
		cancel(cause)
		require.Equal(t, cause, <-grown)
		require.False(t, second.End())
		require.Equal(t, 100, l.InUse())
		require.False(t, first.End())
	})
}

func TestNoLimit(t *testing.T) {
	var l *receivelimit.Limit
	r := l.Begin(notEvicted(t))
	require.NoError(t, r.Grow(t.Context(), 1<<40))
	require.False(t, r.Evicted())
	require.False(t, r.End())
}

func TestReadBody(t *testing.T) {
	text := strings.Repeat("body", 50_000)
	var reserved int
	reserve := func(n int) error { reserved += n; return nil }
	body, err := receivelimit.ReadBody(strings.NewReader(text), len(text), receivelimit.Free, reserve)
	require.NoError(t, err)
	require.Equal(t, text, string(body))
	require.Equal(t, len(body), cap(body), "a caller that appends does not write into a pooled buffer")
	require.GreaterOrEqual(t, reserved, len(text)-receivelimit.Free)
	require.Less(t, reserved, 2*len(text))

	reserved = 0
	body, err = receivelimit.ReadBody(strings.NewReader("short"), 1<<20, receivelimit.Free, reserve)
	require.NoError(t, err)
	require.Equal(t, "short", string(body))
	require.Zero(t, reserved)

	full := errors.New("no memory")
	_, err = receivelimit.ReadBody(strings.NewReader(text), len(text), receivelimit.Free, func(int) error { return full })
	require.Equal(t, full, err)
	_, err = receivelimit.ReadBody(io.MultiReader(strings.NewReader("part"), failing{}), 1<<20, receivelimit.Free, reserve)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
