package interop

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/internal/env"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// TestTheOriginalOnVersionsOfNode runs the original's package on old and new versions of Node.js against a Go hub: the
// README's program, and a client with reconnect.js whose hub restarts.
func TestTheOriginalOnVersionsOfNode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		interoptest.SkipMissing(t, env.MissingError{"Node.js 0.10 to 26, which npm has for linux/amd64"})
	}
	interoptest.Need(t, "node", "npm")
	scripts, err := InstallNode()
	require.NoError(t, err)
	versions, err := installVersions()
	require.NoError(t, err)
	for _, version := range []string{"0.10", "6", "14", "26"} {
		start := func(t *testing.T, script string, port int) *Endpoint {
			t.Helper()
			node := filepath.Join(versions, "node_modules", "node-"+version, "bin", "node")
			cmd := exec.CommandContext(t.Context(), node, script)
			cmd.Dir = scripts
			cmd.Env = append(cmd.Environ(), fmt.Sprintf("PORT=%d", port), "INTERVAL=20")
			return startProgram(t, "Node.js "+version, cmd).Node()
		}
		t.Run(version+" readme.js", func(t *testing.T) {
			t.Parallel()
			h := startGoHub(t, mesh.Options{})
			h.on(t, "myEvent")
			program := start(t, "readme.js", h.port(t))
			heard := h.events.MustAwait(t, "heard")
			require.JSONEq(t, `{"n":1}`, string(heard.Payload))
			h.emit(t, "myEvent", `{"from":"the hub é"}`)
			for { // the program receives its own events too
				if ev := program.MustAwait(t, "myEvent"); string(ev.Payload) != `{"n":1}` {
					require.JSONEq(t, `{"from":"the hub é"}`, string(ev.Payload))
					break
				}
			}
		})
		t.Run(version+" reconnect.js", func(t *testing.T) {
			t.Parallel()
			port := interoptest.StablePort(t)
			var program *Endpoint
			last := 0
			next := func(h goMember) {
				t.Helper()
				var number struct{ N int }
				require.NoError(t, json.Unmarshal(h.events.MustAwait(t, "heard").Payload, &number))
				require.Greater(t, number.N, last, "each comes once, and in order")
				last = number.N
			}
			for round := range 3 {
				h := startGoHub(t, mesh.Options{Addr: localAddr(port)})
				h.on(t, "number")
				if program == nil {
					program = start(t, "returning.js", port)
				}
				next(h)
				for i := range 3 {
					payload := fmt.Sprintf(`{"round":%d,"i":%d}`, round, i)
					h.emit(t, "ping", payload)
					require.JSONEq(t, payload, string(program.MustAwait(t, "ping").Payload))
					next(h)
				}
				require.NoError(t, h.Close())
			}
		})
	}
}
