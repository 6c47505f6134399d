package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// natsServer builds NATS's own server, once.
var natsServer = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(filepath.Dir(binary), "nats-server.exe")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return bin, nil
})

// broker is a NATS server in a separate process. It can be ended and started again at the same address.
type broker struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

func startBroker(t *testing.T, args ...string) *broker {
	t.Helper()
	b := &broker{t: t, addr: fmt.Sprintf("127.0.0.1:%d", interoptest.StablePort(t)), args: args}
	t.Cleanup(b.kill)
	b.start()
	return b
}

func (b *broker) start() {
	b.t.Helper()
	bin, err := natsServer()
	require.NoError(b.t, err, bin)
	host, port, err := net.SplitHostPort(b.addr)
	require.NoError(b.t, err)
	b.cmd = exec.Command(bin, append([]string{"-a", host, "-p", port}, b.args...)...)
	require.NoError(b.t, b.cmd.Start())
	eventually(b.t, "NATS does not listen", func() bool {
		c, err := net.DialTimeout("tcp", b.addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (b *broker) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

// joinsNATS starts a hub that prints the event x.
func joinsNATS(t *testing.T, env []string, args ...string) *member {
	t.Helper()
	m := &member{process: spawn(t, env, append([]string{"listen", "--addr", anyPort, "--on", "x", "--log-level", "info"}, args...)...)}
	m.node = m.is()
	m.base = strings.TrimSuffix(m.url, "/engine.io/")
	return m
}

// knows waits until a hub knows this number of others.
func (m *member) knows(others string) {
	m.t.Helper()
	eventually(m.t, "other hubs are not known", func() bool {
		_, body := get(m.t, http.MethodGet, m.base+"/metrics", "", "")
		return strings.Contains(body, "\nmesh_hubs "+others+"\n")
	})
}

func TestHubsJoinThroughANATSThatExists(t *testing.T) {
	nats := startBroker(t)
	flags := []string{"--metrics", "/metrics", "--nats", "nats://" + nats.addr}
	one, two := joinsNATS(t, nil, flags...), joinsNATS(t, nil, flags...)
	other := joinsNATS(t, nil, append(flags, "--cluster-name", "other")...)
	two.knows("1")
	one.emits("1")
	hearsAt(t, "1", one, two)
	other.emits("2")
	hearsAt(t, "2", other)

	nats.kill()
	for _, m := range []*member{one, two} {
		eventually(t, "the hub is still ready", func() bool {
			status, body := get(t, http.MethodGet, m.base+"/readyz", "", "")
			return status == http.StatusServiceUnavailable && body == "no connection to NATS\n"
		})
		status, _ := get(t, http.MethodGet, m.base+"/healthz", "", "")
		require.Equal(t, http.StatusOK, status)
		_, body := get(t, http.MethodGet, m.base+"/metrics", "", "")
		require.Contains(t, body, "\nmesh_backplane_up 0\n")
	}
	one.emits("3")
	hearsAt(t, "3", one)
	late := joinsNATS(t, nil, flags...)
	late.emits("4")
	hearsAt(t, "4", late)

	nats.start()
	for _, m := range []*member{one, two, late} {
		m.knows("2")
		status, _ := get(t, http.MethodGet, m.base+"/readyz", "", "")
		require.Equal(t, http.StatusOK, status)
	}
	late.emits("5")
	for _, m := range []*member{one, two, late} { // NATS may have held 3 and 4 for them
		for string(m.hears().Payload) != "5" {
		}
	}
	one.Interrupt(os.Interrupt)
}

func TestHubsPresentWhatANATSDemands(t *testing.T) {
	cert, key := certificate(t)
	nats := startBroker(t, "--user", "hub", "--pass", "s3cret", "--tls", "--tlscert", cert, "--tlskey", key)
	right := []string{"MESH_NATS=tls://hub:s3cret@" + nats.addr}
	flags := []string{"--ca", cert, "--metrics", "/metrics"}
	one, two := joinsNATS(t, right, flags...), joinsNATS(t, right, flags...)
	two.knows("1")
	two.emits("1")
	hearsAt(t, "1", one, two)
	for _, c := range []struct {
		env, want string
		args      []string
	}{
		{"MESH_NATS=tls://hub:guess@" + nats.addr, "the NATS server at tls://" + nats.addr + " rejects this hub: authorization violation", flags},
		{"MESH_NATS=tls://hub:s3cret@" + nats.addr, "certificate signed by unknown authority", nil},
	} {
		_, stderr, code := execute(t, []string{c.env}, append([]string{"listen", "--addr", anyPort}, c.args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, strings.ToLower(stderr), strings.ToLower(c.want))
		require.NotContains(t, stderr, "s3cret")
		require.NotContains(t, stderr, "guess")
	}
}
