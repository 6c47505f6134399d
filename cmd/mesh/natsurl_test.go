package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// TestNATSURLsThatMeanSomethingElse tries URLs with a character in the password that ends the host, or the URL.
func TestNATSURLsThatMeanSomethingElse(t *testing.T) {
	for _, url := range []string{
		"nats://hub:31337/Secret@host.invalid:4222", "nats://hub:31337?Secret@host.invalid:4222", "nats://hub:31337#Secret@host.invalid:4222",
		"nats://hub:31337/Secret/@host.invalid:4222", "nats://hub:31337?", "nats://host.invalid:4222/31337", "tls://host.invalid/31337?Secret#Secret",
		"nats://hub:31337,Secret@host.invalid:4222", "nats://hub:31337,Secret://@host.invalid:4222", "nats://hub:31337%Secret@host.invalid:4222",
		"wss://host.invalid/31337", "nats://ok.invalid:4222,nats://hub:31337/Secret@host.invalid",
	} {
		_, stderr, code := execute(t, []string{"MESH_NATS=" + url}, "listen", "--addr", anyPort)
		require.Equal(t, 1, code, url)
		require.Contains(t, stderr, "MESH_NATS: ", url)
		for _, piece := range []string{"Secret", "31337"} {
			require.NotContains(t, stderr, piece, url)
		}
		if !strings.Contains(url, ",Secret") && !strings.Contains(url, "%") {
			require.Contains(t, stderr, "write / as %2F", url)
		}
	}
}

// TestAHubWhoseBackplaneIsClosedIsNotHealthy: only a restart helps such a hub.
func TestAHubWhoseBackplaneIsClosedIsNotHealthy(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc, err := nats.Connect(s.ClientURL(), natsbackplane.Settings)
	require.NoError(t, err)
	node, err := mesh.Listen(t.Context(), &mesh.Options{Addr: anyPort, Backplane: natsbackplane.New(nc, nil)})
	require.NoError(t, err)
	defer node.Close()
	f := &metricsFlags{mux: http.NewServeMux()}
	defer f.serve(t.Context(), node, &mesh.Options{}, nil)()
	status := func(path string) int {
		w := httptest.NewRecorder()
		f.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	require.Equal(t, http.StatusOK, status(healthPath))
	require.Equal(t, http.StatusOK, status(readyPath))
	nc.Close()
	eventually(t, "the hub is healthy", func() bool { return status(healthPath) == http.StatusServiceUnavailable })
	require.Equal(t, http.StatusServiceUnavailable, status(readyPath))

	j := &joinedMember{BackplaneMember: nil, runs: func() bool { return false }}
	require.ErrorIs(t, j.Err(), mesh.ErrBackplaneClosed)
}

// TestAHubRejoinsANATSThatClosedItsConnection uses a server that accepts only shorter lines than a long name needs.
func TestAHubRejoinsANATSThatClosedItsConnection(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(config, []byte("max_control_line: 1024\n"), 0o600))
	broker := startBroker(t, "-c", config)
	flags := []string{"--metrics", "/metrics", "--nats", "nats://" + broker.addr}
	one, two := joinsNATS(t, nil, flags...), joinsNATS(t, nil, flags...)
	two.knows("1")
	one.knows("1")
	_, stderr, code := execute(t, nil, "emit", strings.Repeat("é", 256), "1", "--addr", one.url)
	require.Zero(t, code, stderr)
	one.says("no connection to NATS")
	start := time.Now()
	one.says("connected to NATS")
	one.knows("1")
	two.knows("1")
	interoptest.RequireTakes(t, 5*time.Second, time.Since(start), "until all are connected again")
	status, _ := get(t, http.MethodGet, one.base+"/healthz", "", "")
	require.Equal(t, http.StatusOK, status)
	one.emits("1")
	hearsAt(t, "1", one, two)
}
