package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		interop.RemoveBuilds()
		os.Exit(status)
	}))
}

// TestPromisesHoldWhileConnectionsBreak runs the checker with small figures, or with the command's figures if
// INTEROP=full.
func TestPromisesHoldWhileConnectionsBreak(t *testing.T) {
	exe, err := interop.BuildMesh()
	require.NoError(t, err)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			c := check{clients: 9, faults: 12, pause: 150 * time.Millisecond, every: 20 * time.Millisecond, tail: 600 * time.Millisecond, stop: time.Second}
			if interoptest.Full() {
				c = defaults
			} else {
				t.Parallel()
			}
			c.mode, c.hub, c.logs = mode, exe, t.TempDir()
			l, err := c.run(t.Context())
			require.NoError(t, err)
			r := l.judge()
			require.Zero(t, r.order+r.echo+r.doubled+r.lost, "%+v\n%q", r, l.samples)
			require.Greater(t, r.deliveries, r.events, "%+v", r)
		})
	}
}

func TestTheLedgerFindsWhatBreaksAPromise(t *testing.T) {
	const emitter, listener = 0, 1
	for name, c := range map[string]struct {
		heard     []int
		confirmed int
		broken    bool // the listener's session breaks after that
		expected  result
	}{
		"all":                                  {[]int{1, 2, 3, 4}, 4, false, result{owed: 4}},
		"out of order":                         {[]int{1, 3, 2, 4}, 4, false, result{owed: 4, order: 1}},
		"twice":                                {[]int{1, 2, 2, 3, 4}, 4, false, result{owed: 4, doubled: 1}},
		"never emitted":                        {[]int{1, 2, 3, 4, 5}, 4, false, result{owed: 4, doubled: 1}},
		"lost":                                 {[]int{1, 3, 4}, 4, false, result{owed: 4, lost: 1}},
		"lost at the end":                      {[]int{1, 2, 3}, 4, false, result{owed: 4, lost: 1}},
		"lost and unconfirmed":                 {[]int{1, 2}, 3, false, result{owed: 4, lost: 1, unconfirmed: 1}},
		"lost with the listener's session":     {[]int{1, 2}, 4, true, result{owed: 2}},
		"lost before the listener's last":      {[]int{2}, 4, true, result{owed: 2, lost: 1}},
		"nothing came on the broken session":   {nil, 4, true, result{}},
		"nothing came on a session that lasts": {nil, 2, false, result{owed: 4, lost: 2, unconfirmed: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(2)
			l.listens(emitter, 0)
			l.listens(listener, 0)
			for range 4 {
				l.emits(emitter, 0)
			}
			l.confirm(emitter, c.confirmed)
			for _, n := range c.heard {
				l.hears(listener, emitter, n)
			}
			if c.broken {
				l.broke(listener, nil)
			}
			c.expected.events, c.expected.deliveries = 4, len(c.heard)
			require.Equal(t, c.expected, l.judge())
		})
	}
	l := newLedger(1)
	l.listens(emitter, 0)
	l.hears(emitter, emitter, l.emits(emitter, 0))
	require.Equal(t, 1, l.judge().echo)
}
