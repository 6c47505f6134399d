package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// A hub that gets SIGTERM lets its clients move to another hub. Ctrl-C does not wait for that.
func TestATerminatedHubLetsItsClientsMove(t *testing.T) {
	opts := &mesh.Options{Addr: anyPort, Backplane: new(mesh.LocalBackplane)}
	hubs := make([]*mesh.Node, 2)
	for i := range hubs {
		var err error
		hubs[i], err = mesh.Listen(t.Context(), opts)
		require.NoError(t, err)
		defer hubs[i].Close()
	}
	client, err := mesh.Connect(t.Context(), &mesh.Options{Addr: hubs[0].URL() + "," + hubs[1].URL()})
	require.NoError(t, err)
	defer client.Close()
	was := 0
	if client.URL() == hubs[1].URL() {
		was = 1
	}
	var said bytes.Buffer
	logs := &logFlags{stderr: newStderr(&said), format: "text"}
	told := make(chan mesh.State, 10)
	reportState(client, logs)
	client.OnState(func(s mesh.State) { told <- s })
	<-told // the state of now

	ctx, end := context.WithCancelCause(t.Context())
	end(nil)
	shutDown(ctx, hubs[was], logs)
	require.NoError(t, hubs[was].Ready(), "Close does the rest")

	ctx, end = context.WithCancelCause(t.Context())
	end(errTerminated)
	shutDown(ctx, client, logs)
	require.NoError(t, client.Ready(), "it is no hub")
	shutDown(ctx, hubs[was], logs)
	require.ErrorIs(t, hubs[was].Err(), mesh.ErrClosed)
	select {
	case s := <-told:
		require.Equal(t, mesh.Connected, s.Status)
		require.Equal(t, hubs[1-was].ID(), s.Hub.ID)
	case <-time.After(patience):
		require.Fail(t, "the client has not moved")
	}
	require.Equal(t, "mesh: moved to the hub at "+hubs[1-was].URL()+", because the other one will close\n", said.String())
}

// While its clients move, a hub is healthy, so that no supervisor kills it, but not ready for more clients. A second
// signal ends it at once.
func TestWhatAHubIsWhileItsClientsMove(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		one := joins(t, nil, nil, "--metrics", "/metrics")
		joins(t, nil, []string{one.cluster}, "--metrics", "/metrics").knows("1")
		one.knows("1")
		stays, err := mesh.Connect(t.Context(), &mesh.Options{Addr: one.url}) // it knows no other hub
		require.NoError(t, err)
		defer stays.Close()

		require.NoError(t, one.Cmd.Process.Signal(syscall.SIGTERM))
		one.says("it asks its clients to move")
		status, body := get(t, http.MethodGet, one.base+"/readyz", "", "")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Equal(t, "ending\n", body)
		status, body = get(t, http.MethodGet, one.base+"/healthz", "", "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok\n", body)
		require.NoError(t, stays.Flush(t.Context()))

		require.NoError(t, one.Cmd.Process.Signal(second))
		one.Wait()
		require.Equal(t, "signal: "+second.String(), one.Cmd.ProcessState.String(), "a hub that waits for its clients exits with a status")
	}
}

// The test joins three hubs by the server in the command, and restarts each of them under load. Their clients lose no
// event, receive none twice, and always have a hub.
func TestRollingRestartOfThreeCommands(t *testing.T) {
	one := joins(t, nil, nil, "--metrics", "/metrics")
	hubs := []*member{one, joins(t, nil, []string{one.cluster}, "--metrics", "/metrics"), joins(t, nil, []string{one.cluster}, "--metrics", "/metrics")}
	var urls []string
	for _, m := range hubs {
		m.knows("2")
		urls = append(urls, m.url)
	}
	const clients, most = 6, 20_000
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var nodes []*mesh.Node
	var heard []chan mesh.Event
	for range clients {
		n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: strings.Join(urls, ","), OfflineLimit: 8 << 20})
		require.NoError(t, err)
		defer n.Close()
		in := make(chan mesh.Event, clients*most)
		n.On("e::*", func(e mesh.Event) { in <- e })
		n.OnState(func(s mesh.State) {
			if s.Status != mesh.Connected {
				t.Errorf("a client has lost its hub: %v", s.Err)
			}
		})
		require.NoError(t, n.Flush(t.Context()))
		nodes, heard = append(nodes, n), append(heard, in)
	}
	var emitted [clients]int
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for ; ctx.Err() == nil && emitted[i] < most; emitted[i]++ {
				if err := n.Emit(fmt.Sprintf("e::%d", emitted[i]%3), emitted[i]); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i, m := range hubs {
		require.NotContains(t, m.Interrupt(syscall.SIGTERM), "not moved")
		next := hubs[(i+1)%len(hubs)]
		hubs[i] = joinsAt(t, nil, []string{m.cluster, next.cluster}, "--addr", m.url, "--metrics", "/metrics")
		hubs[i].knows("2")
	}
	stop()
	wg.Wait()
	want := 0
	for i, n := range nodes {
		require.NoError(t, n.Flush(t.Context()))
		want += emitted[i]
	}
	t.Log("events:", want)
	for _, in := range heard {
		next := make(map[string]int)
		for range want {
			select {
			case e := <-in:
				var k int
				require.NoError(t, e.Decode(&k))
				require.Equal(t, next[e.From], k)
				next[e.From]++
			case <-time.After(patience):
				require.Fail(t, "events are missing", "%v of %v", next, emitted)
			}
		}
		require.Empty(t, in)
	}
}

// A node that took over from a hub, and may have lost events there, does not report clients when it ends.
func TestOnlyClientsThatStayAreSpokenOf(t *testing.T) {
	opts := &mesh.Options{Addr: stableAddr(t)}
	first, err := mesh.Start(t.Context(), opts)
	require.NoError(t, err)
	n, err := mesh.Start(t.Context(), opts)
	require.NoError(t, err)
	require.NoError(t, n.Emit("x", 1))
	require.NoError(t, first.Close())
	eventually(t, "it took over", func() bool { return n.Role() == mesh.RoleHub })
	var said bytes.Buffer
	ctx, end := context.WithCancelCause(t.Context())
	end(errTerminated)
	shutDown(ctx, n, &logFlags{stderr: newStderr(&said), format: "text"})
	require.Empty(t, said.String())
	require.ErrorIs(t, n.Err(), mesh.ErrClosed)
}
