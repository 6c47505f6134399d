package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// get sends a request, with user and password if there is a user.
func get(t *testing.T, method, url, user, password string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// A page cannot read metrics if its site has pointed its own name to this machine. A health check may use any name.
func TestMetricsAreNotForPagesOfOtherNames(t *testing.T) {
	for _, args := range [][]string{{"--metrics", "/metrics"}, {"--metrics-addr", anyPort}} {
		hub := spawn(t, nil, append([]string{"listen", "--addr", anyPort, "--allow-origin", "https://app.example"}, args...)...)
		base := strings.TrimSuffix(hub.is().url, "/engine.io/")
		metrics := regexp.MustCompile(`metrics at (http:\S+)`).FindStringSubmatch(hub.says("metrics at "))[1]
		for host, want := range map[string]int{"": 200, "localhost": 200, "app.example": 200, "site.example": 403, "site.": 403} {
			status := func(url string) int {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				require.NoError(t, err)
				req.Host = host
				resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				return resp.StatusCode
			}
			require.Equal(t, want, status(metrics), "%s as %q", metrics, host)
			require.Equal(t, 200, status(base+"/healthz"))
		}
		hub.Interrupt(os.Interrupt)
	}
}

func TestAHubTellsItsHealthAndMetrics(t *testing.T) {
	for _, command := range []string{"listen", "start"} {
		hub := spawn(t, nil, command, "--addr", anyPort, "--metrics", "/inside/metrics")
		base := strings.TrimSuffix(hub.is().url, "/engine.io/")
		hub.says("metrics at " + base + "/inside/metrics")
		spawn(t, nil, "connect", "--addr", base).is()

		status, body := get(t, http.MethodGet, base+"/healthz", "", "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok\n", body)
		status, body = get(t, http.MethodGet, base+"/inside/metrics", "", "")
		require.Equal(t, http.StatusOK, status)
		require.Regexp(t, `(?m)^mesh_connections_total 1$`, body)
		require.Regexp(t, `(?m)^go_goroutines \d+$`, body)
		for path, want := range map[string]int{"/healthz": http.StatusMethodNotAllowed, "/metrics": http.StatusNotFound} {
			status, _ = get(t, http.MethodPost, base+path, "", "")
			require.Equal(t, want, status, path)
		}
		hub.Interrupt(os.Interrupt)
	}
}

func TestAHubHasAPageUnlessToldOtherwise(t *testing.T) {
	for _, command := range []string{"listen", "start"} {
		for _, c := range []struct {
			args []string
			want string
		}{{nil, "<!doctype html>"}, {[]string{"--no-page"}, "This is the hub of a mesh."}} {
			hub := spawn(t, nil, append([]string{command, "--addr", anyPort}, c.args...)...)
			status, body := get(t, http.MethodGet, strings.TrimSuffix(hub.is().url, "/engine.io/")+"/", "", "")
			require.Equal(t, http.StatusOK, status)
			require.True(t, strings.HasPrefix(body, c.want), body)
			hub.Interrupt(os.Interrupt)
		}
	}
}

func TestMetricsAreForThoseWhomTheHubAdmits(t *testing.T) {
	env := []string{"MESH_PASSWORD=s3cret"}
	hub := spawn(t, env, "listen", "--addr", anyPort, "--user", "ann", "--metrics", "/metrics")
	base := strings.TrimSuffix(hub.is().url, "/engine.io/")
	hub.says("metrics at ")
	status, _ := get(t, http.MethodGet, base+"/healthz", "", "")
	require.Equal(t, http.StatusOK, status, "every client of the hub may know that it serves")
	for _, c := range []struct {
		user, password string
		want           int
	}{{"", "", 401}, {"ann", "guess", 401}, {"bob", "s3cret", 401}, {"ann", "s3cret", 200}} {
		status, body := get(t, http.MethodGet, base+"/metrics", c.user, c.password)
		require.Equal(t, c.want, status)
		require.Equal(t, c.want == 200, strings.Contains(body, "mesh_peers"))
		require.NotContains(t, body, "s3cret")
	}
	bearer := spawn(t, []string{"MESH_TOKEN=s3cret"}, "listen", "--addr", anyPort, "--metrics", "/metrics")
	base = strings.TrimSuffix(bearer.is().url, "/engine.io/")
	bearer.says("metrics at ")
	for token, want := range map[string]int{"": 401, "Bearer guess": 401, "s3cret": 401, "Bearer s3cret": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", token)
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, token)
	}
	log := hub.Interrupt(os.Interrupt)
	require.Contains(t, log, "metrics refused")
	require.NotContains(t, log, "s3cret")
	require.NotContains(t, log, "guess")
}

func TestAFloodOfRefusalsIsALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := requireAuth(&mesh.Options{Authorize: mesh.BearerAuth("s3cret"), Logger: slog.New(slog.NewTextHandler(&log, nil))}, http.NotFoundHandler())
		for range 3 {
			for range 100 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?token=guess", http.NoBody))
				require.Equal(t, http.StatusUnauthorized, w.Code)
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, 3, strings.Count(log.String(), "\n"))
		require.Equal(t, 2, strings.Count(log.String(), "times=100"))
		require.NotContains(t, log.String(), "guess")
	})
}

func TestMetricsAtAnAddressOfTheirOwn(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--metrics-addr", anyPort)
	base := strings.TrimSuffix(hub.is().url, "/engine.io/")
	status, _ := get(t, http.MethodGet, base+"/metrics", "", "")
	require.Equal(t, http.StatusNotFound, status, "they are not at the hub then")
	member := spawn(t, nil, "connect", "--addr", base, "--metrics-addr", anyPort)
	member.is()
	for _, p := range []*process{hub, member} {
		said := p.says("metrics at http://127.0.0.1:")
		where := strings.TrimPrefix(said, "mesh: metrics at ")
		require.True(t, strings.HasSuffix(where, "/metrics"), where)
		status, body := get(t, http.MethodGet, where, "", "")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, body, "\nmesh_connections_total 1\n", "of one peer, and to one hub")
	}
	for _, p := range []*process{member, hub} {
		p.Interrupt(os.Interrupt)
	}
	second := spawn(t, nil, "listen", "--addr", anyPort)
	url := second.is().url
	spawn(t, nil, "start", "--addr", url, "--metrics", "/metrics").says("no metrics, because this node is not a hub")
}

// Clients that request metrics and read none of them must not keep others from reading metrics.
func TestMetricsBesideClientsThatDoNotRead(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--metrics", "/metrics")
	base := strings.TrimSuffix(hub.is().url, "/engine.io/")
	request := strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000)
	for range metricsAtOnce {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		for err == nil { // until the hub, which waits for the client to read, reads no more requests
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
			_, err = io.WriteString(conn, request)
		}
	}
	status, body := get(t, http.MethodGet, base+"/metrics", "", "")
	require.Equal(t, http.StatusOK, status, body)
	hub.Interrupt(os.Interrupt)
}
