package interop

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// moduleRuntimes are the versions of Node.js that run mesh.mjs: 18 has no global crypto and no WebSocket, 20 no WebSocket.
var moduleRuntimes = []string{"18.20.8", "20.20.2", "22.23.5", "26.12.1"}

// TestModuleOutsideBrowsers runs mesh-client.test.mjs with node --test, which must end by itself.
func TestModuleOutsideBrowsers(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "node", "npm")
	versions := moduleRuntimes
	if !interoptest.Full() {
		versions = versions[:1]
	}
	hub := startGoHub(t, mesh.Options{Permit: func(_ mesh.PeerInfo, _ mesh.Action, event string) bool { return event != "forbidden" }})
	behind := startGoHub(t, mesh.Options{}) // it holds sessions whose connections are silent
	way := newSilencer(t, behind.Addr())
	control := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { way.silence(true) }))
	t.Cleanup(control.Close)
	silent := newSilencer(t, behind.Addr())
	silent.silence(true)

	dir := t.TempDir()
	response, err := (&http.Client{Transport: newTransport(t)}).Get("http://" + hub.Addr() + "/mesh.mjs")
	require.NoError(t, err)
	module, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	script, err := os.ReadFile("node/mesh-client.test.mjs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mesh.mjs"), module, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mesh-client.test.mjs"), script, 0o600))
	for _, version := range append([]string{""}, versions...) { // "" is the machine's version
		t.Run("Node.js "+version, func(t *testing.T) {
			way.silence(false)
			node := "node"
			if version != "" {
				node, err = NodeRuntime(t.Context(), version)
				require.NoError(t, err)
			}
			// 30 s is above the 5 s for which close waits for a silent hub.
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "--test", "mesh-client.test.mjs")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HUB=http://"+hub.Addr(), "DEAD=http://"+localAddr(interoptest.StablePort(t)),
				"SILENT="+silent.url(), "CUT="+way.url(), "CUT_IT="+control.URL)
			out, err := cmd.CombinedOutput()
			require.NoError(t, ctx.Err(), "does not end by itself:\n%s", out)
			require.NoError(t, err, "%s", out)
			require.Eventually(t, func() bool { return hub.Stats().Peers == 0 }, AwaitTimeout, time.Millisecond)
		})
	}
}

// silencer is a proxy to a server. It can stop all bytes in both directions without an end of the connections.
type silencer struct {
	listener net.Listener
	mu       sync.Mutex
	silent   bool
	silenced int // connections, for good
}

func newSilencer(t *testing.T, target string) *silencer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &silencer{listener: l}
	var conns sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				server, err := net.Dial("tcp", target)
				if err != nil {
					_ = c.Close()
					return
				}
				stop := context.AfterFunc(ctx, func() { _ = c.Close(); _ = server.Close() })
				defer stop()
				var ways sync.WaitGroup
				ways.Go(func() { s.copy(server, c) })
				ways.Go(func() { s.copy(c, server) })
				ways.Wait()
			})
		}
	})
	return s
}

func (s *silencer) url() string { return fmt.Sprintf("http://%s", s.listener.Addr()) }

// silence makes connections silent at the next bytes, or lets bytes through again. A silent connection stays silent.
func (s *silencer) silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = on
}

// isSilent reports whether a connection that has received bytes is silent from now on.
func (s *silencer) isSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		s.silenced++
	}
	return s.silent
}

func (s *silencer) hasSilenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silenced > 0
}

func (s *silencer) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if s.isSilent() {
			_, _ = io.Copy(io.Discard, from) // until the sender ends the connection
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
