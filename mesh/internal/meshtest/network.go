package meshtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/bigcompany/mesh/engineio/engineiotest"
)

// Network is an in-memory network with HTTP servers, for tests in a bubble of testing/synctest. A server with the name a
// is at http://a. Any number of goroutines may use a network.
type Network struct {
	Client *http.Client // connects to the servers

	t     testing.TB
	mu    sync.Mutex
	hosts map[string]*engineiotest.Listener
	down  map[string]bool
}

// NewNetwork returns a network without servers.
func NewNetwork(t testing.TB) *Network {
	n := &Network{t: t, hosts: make(map[string]*engineiotest.Listener), down: make(map[string]bool)}
	n.Client = &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	return n
}

// Serve starts a server. The cleanup of the test stops it.
func (n *Network) Serve(name string, handler http.Handler) {
	l := engineiotest.NewListener()
	n.mu.Lock()
	n.hosts[name] = l
	n.mu.Unlock()
	server := &http.Server{Handler: handler}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	n.t.Cleanup(func() {
		_ = server.Close()
		n.Client.CloseIdleConnections()
		wg.Wait()
	})
}

// SetDown makes the server accept no connection, or again accept connections. The present connections stay.
func (n *Network) SetDown(name string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[name] = down
}

func (n *Network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ":")
	n.mu.Lock()
	l, down := n.hosts[name], n.down[name]
	n.mu.Unlock()
	if l == nil || down {
		return nil, errors.New("connection refused")
	}
	return l.DialContext(ctx, network, address)
}
