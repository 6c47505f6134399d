package metrics_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T, opts mesh.Options) *mesh.Node {
	t.Helper()
	opts.Addr = "127.0.0.1:0"
	n, err := mesh.Listen(testContext(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func connect(t *testing.T, hub *mesh.Node, opts mesh.Options) *mesh.Node {
	t.Helper()
	opts.Addr = hub.URL()
	n, err := mesh.Connect(testContext(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func register(t *testing.T, n *mesh.Node) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(metrics.NewCollector(n)))
	return r
}

// values gathers all metrics by name and labels. The value of a histogram is its count.
func values(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch f.GetType().String() {
			case "HISTOGRAM":
				all[name] = float64(m.GetHistogram().GetSampleCount())
			case "GAUGE":
				all[name] = m.GetGauge().GetValue()
			default:
				all[name] = m.GetCounter().GetValue()
			}
		}
	}
	return all
}

func TestCollectorShowsWhatANodeDoes(t *testing.T) {
	hub := listen(t, mesh.Options{})
	from := connect(t, hub, mesh.Options{Transports: []engineio.Transport{engineio.Polling}})
	to := connect(t, hub, mesh.Options{Transports: []engineio.Transport{engineio.WebSocket}})
	heard := make(chan mesh.Event, 100)
	to.On("e", func(e mesh.Event) { heard <- e })
	require.NoError(t, to.Flush(testContext(t)))
	registry := register(t, hub)
	before := values(t, registry)
	for range 3 {
		require.NoError(t, from.Emit("e", 1))
	}
	require.NoError(t, from.Flush(testContext(t)))
	for range 3 {
		<-heard
	}
	got := values(t, registry)
	packet := len(`{"event":"e","payload":1,"n":1}`)
	for name, want := range map[string]float64{
		"mesh_events_received_total": 3,
		"mesh_events_sent_total":     3,
		"mesh_received_bytes_total":  float64(3 * packet),
		"mesh_sent_bytes_total":      float64(3 * (packet + len(`,"from":""`) + len(from.ID()))),
		"mesh_connections_total":     0,
		"mesh_peers 3 polling":       0,
	} {
		require.Equal(t, want, got[name]-before[name], name)
	}
	for n := 0; got["mesh_fan_out_seconds"] == 0; n++ { // the hub measures only some batches
		require.Less(t, n, 1000)
		require.NoError(t, from.Emit("other", nil))
		require.NoError(t, from.Flush(testContext(t)))
		got = values(t, registry)
	}
	for name, want := range map[string]float64{
		"mesh_peers 3 polling": 1, "mesh_peers 3 websocket": 1, "mesh_peers 4 websocket": 0, "mesh_connections_total": 2,
	} {
		require.Equal(t, want, got[name], name)
	}
	require.EqualValues(t, 1, values(t, register(t, to))["mesh_peers 3 websocket"], "a client's is its hub")
}

func TestDroppedAreShownByReason(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("ann", "right")})
	_, err := mesh.Connect(testContext(t), &mesh.Options{Addr: hub.URL(), User: "ann", Password: "wrong"})
	require.Error(t, err)
	sock, err := engineio.Dial(testContext(t), hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3})
	require.NoError(t, err)
	sock.Discard()
	defer sock.Close()
	for _, packet := range []string{
		`{"event":"x","payload":1,"headers":{"auth":{"user":"ann","password":"right"}}}`,
		`no JSON`, `{"event":"mesh::x"}`, `{"event":"$mesh.x"}`, `{"event":"x","eventTable":{"a":` + strings.Repeat(" ", 1<<19) + `null}}`,
	} {
		require.NoError(t, sock.Write(testContext(t), engineio.Text(packet)))
	}
	require.NoError(t, sock.Ping(testContext(t)))
	got := values(t, register(t, hub))
	for name, want := range map[string]float64{
		"mesh_events_dropped_total malformed":      1,
		"mesh_events_dropped_total reserved":       2,
		"mesh_events_dropped_total unauthorized":   1,
		"mesh_events_dropped_total queue_full":     0,
		"mesh_events_dropped_total callbacks_full": 0,
		"mesh_auth_failures_total":                 1,
		"mesh_bad_tables_total":                    1,
	} {
		require.Equal(t, want, got[name], name)
	}
}

// TestNothingOfAPeerIsShown checks that the metrics contain no text that a peer chooses.
func TestNothingOfAPeerIsShown(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("secret-user", "secret-password"), Name: "secret-hub"})
	c := connect(t, hub, mesh.Options{User: "secret-user", Password: "secret-password", Name: "secret-name"})
	c.On("secret::event", func(mesh.Event) {})
	require.NoError(t, c.Emit("secret-event", "secret"))
	require.NoError(t, c.Flush(testContext(t)))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(register(t, hub), promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, w.Body.String(), "mesh_events_received_total 1\n")
	for _, word := range []string{"secret", c.ID(), hub.ID(), "127.0.0.1"} {
		require.NotContains(t, w.Body.String(), word)
	}
}

// TestMetricsAreThoseOfTheirPage compares the metrics with docs/metrics.md, and checks the names with the linter of
// Prometheus.
func TestMetricsAreThoseOfTheirPage(t *testing.T) {
	families, err := register(t, listen(t, mesh.Options{})).Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	shown := make(map[string]string)
	for _, f := range families {
		labels := make(map[string][]string)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		shown[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(slices.Sorted(maps.Keys(labels)), " ")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(mesh_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		labels := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1)
		names := make([]string, len(labels))
		for i := range labels {
			names[i] = labels[i][1]
		}
		slices.Sort(names)
		documented[row[1]] = row[2] + " " + strings.Join(names, " ")
	}
	require.Empty(t, cmp.Diff(documented, shown))
}
