package main

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// cuttable is a backplane that loses all messages while it is cut.
type cuttable struct {
	mesh.LocalBackplane
	cut atomic.Bool
}

type cuttableMember struct {
	mesh.BackplaneMember
	cut *atomic.Bool
}

func (b *cuttable) Join(hub string, receive func(string, []byte)) (mesh.BackplaneMember, error) {
	m, err := b.LocalBackplane.Join(hub, receive)
	return cuttableMember{m, &b.cut}, err
}

func (m cuttableMember) Publish(name string, data []byte, unheard func()) error {
	if m.cut.Load() {
		return nil
	}
	return m.BackplaneMember.Publish(name, data, unheard)
}

// screen holds the printed text.
type screen struct{ interoptest.Buffer }

// count returns the number of lines about joining or leaving nodes, by sign, that contain text.
func (s *screen) count(sign, text string) (n int) {
	for line := range strings.Lines(s.String()) {
		if strings.HasPrefix(line, sign+" ") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// TestWatchShowsWhomAHubBringsBack: when a lost hub returns, its clients return with it, and no hub announces them.
func TestWatchShowsWhomAHubBringsBack(t *testing.T) {
	t.Parallel() // it waits for a timer
	var backplane cuttable
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	closing := func(n *mesh.Node, err error) *mesh.Node {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.Close()) })
		return n
	}
	listen := func(name string) *mesh.Node {
		return closing(mesh.Listen(ctx, &mesh.Options{Addr: anyPort, Backplane: &backplane, Name: name}))
	}
	connectTo := func(hub *mesh.Node, name string) *mesh.Node {
		return closing(mesh.Connect(ctx, &mesh.Options{Addr: hub.URL(), Name: name}))
	}
	near, far := listen("near"), listen("far")
	connectTo(near, "neighbour")
	connectTo(far, "stranger")
	watcher := connectTo(near, "watcher")

	var out screen
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- watchNodes(watching, watcher, &nodePrinter{out: &out, now: time.Now}, &logFlags{stderr: newStderr(io.Discard)})
	}()
	until := func(sign, text string, n int) {
		t.Helper()
		require.Eventually(t, func() bool { return out.count(sign, text) == n }, 20*time.Second, 5*time.Millisecond, "%s %s", sign, text)
	}
	until("client", "stranger", 1) // of present nodes
	for i := range 2 {
		backplane.cut.Store(true)
		until("-", "far", i+1)
		backplane.cut.Store(false)
		until("+", "hub "+short(far.ID())+" far", i+1)
		until("+", "stranger", i+1)
	}
	require.Zero(t, out.count("+", "neighbour")+out.count("+", "watcher"), "nodes that were there all the time")
	stop()
	require.NoError(t, <-ended)
}
