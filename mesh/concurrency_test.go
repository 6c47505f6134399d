package mesh_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// The test calls every method on a hub and its clients while connections break, and closes all nodes in the middle of
// that. The race detector reports unsynchronized access.
// Advisories: googollee/go-socket.io#170, googollee/go-socket.io#182, googollee/go-socket.io#393
func TestConcurrentNodeMethods(t *testing.T) {
	hub := listen(t, mesh.Options{CallbackLimit: 10_000, Authorize: mesh.BasicAuth("u", "p")})
	p := meshtest.StartProxy(t, hub.Addr())
	nodes := []*mesh.Node{hub}
	for i := range 4 {
		o := mesh.Options{Addr: p.Addr(), User: "u", Password: "p", Name: fmt.Sprint(i), CallbackLimit: 10_000}
		if i%2 == 0 {
			o.Transports = overWebSocket
		}
		nodes = append(nodes, connectTo(t, o))
	}
	ctx, cancel := context.WithTimeout(context.Background(), meshtest.Patience)
	defer cancel()
	var calls atomic.Int64
	nothing := func(mesh.Event) { calls.Add(1) }
	actions := []func(n *mesh.Node, i int){
		func(n *mesh.Node, i int) { _ = n.Emit(fmt.Sprint("e", i%3), i) },
		func(n *mesh.Node, i int) { _ = n.Emit("a::b", nil) },
		func(n *mesh.Node, i int) { n.On(fmt.Sprint("e", i%3), nothing)() },
		func(n *mesh.Node, i int) {
			n.On("**", func(e mesh.Event) { nothing(e); _ = n.Emit("from::callback", nil) })()
		},
		func(n *mesh.Node, i int) {
			off := n.Many("e1", 2, nothing)
			n.Once("a::*", nothing)
			off()
			off()
		},
		func(n *mesh.Node, i int) { n.OnAny(nothing)() },
		func(n *mesh.Node, i int) { n.OnState(func(mesh.State) { calls.Add(1) })() },
		func(n *mesh.Node, i int) {
			short, stop := context.WithTimeout(ctx, time.Duration(i%5)*time.Millisecond)
			defer stop()
			_ = n.Flush(short)
		},
		func(n *mesh.Node, i int) {
			_, _ = n.Hub()
			_, _, _, _, _ = n.Role(), n.ID(), n.Addr(), n.URL(), n.Name()
			_, _ = n.Stats(), n.Err()
			select {
			case <-n.Done():
			default:
			}
		},
		func(n *mesh.Node, i int) {
			n.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/engine.io/?EIO=4&transport=none", nil))
		},
	}
	var wg sync.WaitGroup
	for _, n := range nodes {
		for _, act := range actions {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					act(n, i)
				}
			})
		}
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
				p.Cut()
			}
		}
	})
	wg.Go(func() { // for one second, or on a busy machine until callbacks run
		time.Sleep(time.Second)
		for calls.Load() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	})
	// The test closes half of the clients under load, each twice at the same time.
	for _, n := range []*mesh.Node{nodes[1], nodes[2]} {
		for range 2 {
			wg.Go(func() {
				<-time.After(500 * time.Millisecond)
				_ = n.Close()
			})
		}
	}
	wg.Wait()
	if calls.Load() == 0 {
		t.Error("no callback was called")
	}
}
