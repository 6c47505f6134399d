// Package metrics shows a node of a mesh to Prometheus.
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(metrics.NewCollector(node))
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// The metrics are those of mesh.Stats and mesh.Node.Sessions. docs/metrics.md says what each means. Labels have few values,
// which are fixed: none is chosen by a peer. No name of an event or of a node is shown, no ID and no credential.
package metrics
