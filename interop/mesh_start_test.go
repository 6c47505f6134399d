package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

var meshCommand = sync.OnceValues(BuildMesh)

// startReadme runs the README's Node.js program.
func startReadme(t *testing.T, port int) *Peer {
	t.Helper()
	interoptest.Need(t, "node", "npm")
	dir, err := install()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "readme.js"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "INTERVAL=50")
	return startProgram(t, "readme.js", cmd)
}

// startCommand runs the README's command line. n in the payload identifies the program.
func startCommand(t *testing.T, port, n int) *Peer {
	t.Helper()
	interoptest.Need(t, "go")
	exe, err := meshCommand()
	require.NoError(t, err)
	return startProgram(t, fmt.Sprintf("mesh start %d", n), exec.CommandContext(t.Context(), exe, "start",
		"--addr", "localhost:"+strconv.Itoa(port), "--on", "myEvent", "--emit", "myEvent",
		"--data", fmt.Sprintf(`{"n":%d}`, n), "--every", "50ms"))
}

// requireHears waits until a program has printed an event of each of the wanted programs.
func requireHears(t *testing.T, p *Peer, wanted ...int) {
	t.Helper()
	missing := make(map[int]bool)
	for _, n := range wanted {
		missing[n] = true
	}
	for len(missing) > 0 {
		var payload struct{ N int }
		require.NoError(t, json.Unmarshal(p.Node().MustAwait(t, "myEvent").Payload, &payload))
		delete(missing, payload.N)
	}
}

// TestReadmeProgramsHearEachOther runs the README's programs for three terminals. The first program is the hub.
func TestReadmeProgramsHearEachOther(t *testing.T) {
	t.Parallel()
	for _, first := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s first", first), func(t *testing.T) {
			t.Parallel()
			port := interoptest.StablePort(t)
			var programs []*Peer
			if first == nodeKind {
				programs = append(programs, startReadme(t, port))
				requireHears(t, programs[0], 1) // its own event
			}
			programs = append(programs, startCommand(t, port, 2))
			requireHears(t, programs[len(programs)-1], 2)
			programs = append(programs, startCommand(t, port, 3))
			if first == goKind {
				programs = append(programs, startReadme(t, port))
			}
			for _, p := range programs {
				requireHears(t, p, 1, 2, 3)
			}
		})
	}
}

// TestStartConnectsToANodeHub checks that Start connects to a Node.js hub at an address, also if the address is only
// one of those for localhost.
func TestStartConnectsToANodeHub(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "localhost"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := startStar(t, nodeKind, []kind{nodeKind}, "ping")
			n, err := mesh.Start(t.Context(), &mesh.Options{Addr: fmt.Sprintf("%s:%d", host, s.port)})
			ours := newGoMember(t, n, err)
			require.Equal(t, mesh.RoleClient, ours.Role())
			info, ok := ours.Hub()
			require.True(t, ok)
			require.Equal(t, mesh.HubInfo{Legacy: true}, info)
			for _, name := range []string{"ping", "done"} {
				ours.on(t, name)
			}
			s.clients = append(s.clients, ours)
			s.sync(t)
			for _, from := range append([]member{s.hub}, s.clients...) {
				s.requireRound(t, from, "ping", 1, 1, 1)
			}
		})
	}
}

// TestNodeProgramConnectsToWhatStartBecame starts our node first, so our node is the hub.
func TestNodeProgramConnectsToWhatStartBecame(t *testing.T) {
	t.Parallel()
	port := interoptest.StablePort(t)
	n, err := mesh.Start(t.Context(), &mesh.Options{Addr: fmt.Sprintf("localhost:%d", port)})
	hub := newGoMember(t, n, err)
	require.Equal(t, mesh.RoleHub, hub.Role())
	hub.on(t, "myEvent")
	program := startReadme(t, port)
	ev := hub.events.MustAwait(t, "heard")
	require.Equal(t, `{"n":1}`, string(ev.Payload))
	hub.emit(t, "myEvent", `{"n":2}`)
	requireHears(t, program, 1, 2)
}
