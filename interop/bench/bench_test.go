package main

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
)

func benchFor(srv *server, measure func(context.Context, *child, loadgen.Target) (figures, error)) (*bench, scenario) {
	b := &bench{runs: 3, fileLimit: 1000, progress: io.Discard, absent: make(map[*server]error)}
	return b, scenario{name: "test", main: colDeliveryRate, columns: []column{colDeliveryRate}, loads: []load{{
		servers: []*server{srv}, kind: kindEcho, conns: 1, measure: measure,
	}}}
}

func nothing(context.Context, *child, loadgen.Target) (figures, error) {
	return figures{PerSecond: 1}, nil
}

func TestServersThatCannotStart(t *testing.T) {
	for name, test := range map[string]struct {
		server server
		want   string
	}{
		"no program": {
			server{command: func(ctx context.Context, _ kind, _ time.Duration) (*exec.Cmd, string, error) {
				return nil, "", errors.New("nothing to start\nand more of it")
			}},
			"did not run: nothing to start",
		},
		"a program that ends": {server{command: itself("no-")}, `did not run: it ended (exit status 1): bench: there is no server "no-echo"`},
	} {
		for _, ofOurs := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				srv := test.server
				srv.ours = ofOurs
				b, s := benchFor(&srv, nothing)
				sec, err := b.run(bound(t), s)
				require.NoError(t, err)
				require.Nil(t, sec.Rows[0].Median)
				require.Equal(t, test.want, sec.Rows[0].note())
				require.Equal(t, ofOurs, b.oursFailed)
			})
		}
	}
}

func TestAServerThatFailsOnceHasTheFiguresOfTheOtherRuns(t *testing.T) {
	n := 0
	b, s := benchFor(ours, func(context.Context, *child, loadgen.Target) (figures, error) {
		if n++; n == 2 {
			return figures{}, errors.New("loadgen: no answer")
		}
		return figures{PerSecond: float64(n)}, nil
	})
	sec, err := b.run(bound(t), s)
	require.NoError(t, err)
	require.Equal(t, 2.0, sec.Rows[0].Median.PerSecond)
	require.Equal(t, "(1 of 3 runs failed: no answer)", sec.Rows[0].note())
	require.True(t, b.oursFailed)
}

func TestAServerThatEndsUnderLoadIsToldWithItsReason(t *testing.T) {
	srv := *ours
	srv.ours = false
	b, s := benchFor(&srv, func(_ context.Context, c *child, _ loadgen.Target) (figures, error) {
		_ = c.in.Close()
		<-c.ended
		return figures{}, errors.New("no answer")
	})
	sec, err := b.run(bound(t), s)
	require.NoError(t, err)
	require.Nil(t, sec.Rows[0].Median)
	require.Equal(t, "failed: no answer; it ended (exit status 0)", sec.Rows[0].note())
	require.False(t, b.oursFailed)
}

func TestALimitThatIsTooSmallIsNoFailure(t *testing.T) {
	b, s := benchFor(ours, nothing)
	s.loads[0].conns = 10_000
	sec, err := b.run(bound(t), s)
	require.NoError(t, err)
	require.Equal(t, "did not run: needs 10,100 open files in each process, and 1,000 are allowed (ulimit -Hn)", sec.Rows[0].note())
	require.False(t, b.oursFailed)

	s.loads[0].conns = 1 // the server itself can start
	sec, err = b.run(bound(t), s)
	require.NoError(t, err)
	require.NotNil(t, sec.Rows[0].Median)
}

func TestTailTellsTheError(t *testing.T) {
	var l tail
	_, _ = l.Write(make([]byte, 2*tailSize))
	_, _ = l.Write([]byte("\nnode:internal:1\n\nTypeError: no such thing\n    at somewhere\n\nNode.js v20\n"))
	require.Equal(t, "TypeError: no such thing", l.line())
	_, _ = l.Write(append(make([]byte, 2*tailSize), "\none\ntwo\n\n"...))
	require.Equal(t, "two", l.line())
}

func TestMembers(t *testing.T) {
	var m members[int]
	require.Empty(t, m.all())
	m.add(1)
	m.add(2)
	before := m.all()
	m.remove(1)
	m.add(3)
	require.Equal(t, []int{1, 2}, before)
	require.Equal(t, []int{2, 3}, m.all())
}
