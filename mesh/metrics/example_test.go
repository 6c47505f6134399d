package metrics_test

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/metrics"
)

// A hub serves its metrics on its own listener. Every client that can reach the hub can read them. To keep them
// private, serve them at a separate address.
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
