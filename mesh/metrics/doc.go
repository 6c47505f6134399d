// Package metrics exports the counters of a node to Prometheus.
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(metrics.NewCollector(node))
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// The metrics are the values of mesh.Stats and mesh.Node.Sessions. docs/metrics.md describes each metric. Labels have
// few values, which are fixed: peers cannot choose them. The metrics contain no names of events or nodes, no IDs and no
// credentials.
package metrics
