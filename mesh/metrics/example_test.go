package metrics_test

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/metrics"
)

// A hub shows its metrics at its own listener. Whoever reaches the hub can read them: to keep them private, serve them at
// an address of their own.
func ExampleNewCollector() {
	mux := http.NewServeMux()
	node, err := mesh.Listen(context.Background(), &mesh.Options{Addr: "localhost:0", Handler: mux})
	if err != nil {
		panic(err)
	}
	defer node.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(node))
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}
