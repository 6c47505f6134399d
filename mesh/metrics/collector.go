package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
)

// collector reads the counters of a node at each collection. It stores nothing.
type collector struct{ node *mesh.Node }

// NewCollector returns a collector of a node's metrics. Register it at any time: the node counts from its start. For
// several nodes in one registry, give each a label with prometheus.WrapRegistererWith.
func NewCollector(node *mesh.Node) prometheus.Collector { return collector{node} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mesh_"+name, help, labels, nil)
}

var (
	peers  = describe("peers", "Connections with peers, by transport and revision of Engine.IO, muted ones included.", "transport", "revision")
	muted  = describe("muted_peers", "Peers that were not admitted, or not yet.")
	queue  = describe("queue_bytes", "Bytes that wait to be written to all peers together.")
	widest = describe("queue_max_bytes", "Bytes that wait to be written to the peer with the most.")

	callbackQueue = describe("callback_queue_bytes", "Bytes of events that wait for this node's callbacks.")
	fanOut        = describe("fan_out_seconds", "Time from the read of an event until it is queued for all its subscribers; sampled.")
	hubs          = describe("hubs", "Other hubs that this one knows.")
	up            = describe("backplane_up", "0 while a hub cannot reach the others through its backplane, else 1.")
	dropped       = describe("events_dropped_total", "Rejected and dropped packets and events, by reason.", "reason")
)

// counters are the counters without labels.
var counters = []struct {
	desc *prometheus.Desc
	of   func(*mesh.Stats) uint64
}{
	{describe("events_received_total", "Events from peers."), func(s *mesh.Stats) uint64 { return s.Received }},
	{describe("search_steps_total", "Steps of the searches for the subscribers of events from peers."), func(s *mesh.Stats) uint64 { return s.SearchSteps }},
	{describe("events_sent_total", "Events queued to peers, counted once a peer."), func(s *mesh.Stats) uint64 { return s.Sent }},
	{describe("received_bytes_total", "Bytes of all messages from peers."), func(s *mesh.Stats) uint64 { return s.BytesIn }},
	{describe("sent_bytes_total", "Bytes of the events queued to peers."), func(s *mesh.Stats) uint64 { return s.BytesOut }},
	{describe("hub_events_received_total", "Events from other hubs."), func(s *mesh.Stats) uint64 { return s.HubsIn }},
	{describe("hub_events_sent_total", "Events handed to the backplane for other hubs, counted once."), func(s *mesh.Stats) uint64 { return s.HubsOut }},
	{describe("hub_received_bytes_total", "Bytes of the events from other hubs."), func(s *mesh.Stats) uint64 { return s.HubsBytesIn }},
	{describe("hub_sent_bytes_total", "Bytes of the events handed to the backplane."), func(s *mesh.Stats) uint64 { return s.HubsBytesOut }},
	{describe("connections_total", "Connections of peers to a hub, or of a client to hubs."), func(s *mesh.Stats) uint64 { return s.Connections }},
	{describe("auth_failures_total", "Peers that Authorize rejected, including its timeouts."), func(s *mesh.Stats) uint64 { return s.AuthFailures }},
	{describe("slow_peers_total", "Peers closed because their queue was full, or because BufferLimit was spent."), func(s *mesh.Stats) uint64 { return s.SlowPeers }},
	{describe("superseded_sessions_total", "Sessions that ended because their node was back on a newer connection."), func(s *mesh.Stats) uint64 { return s.Superseded }},
	{describe("pauses_total", "Series of events after which the hub did not read from the emitter until a listener's queue had room."), func(s *mesh.Stats) uint64 { return s.Pauses }},
	{describe("bad_tables_total", "Rejected event tables."), func(s *mesh.Stats) uint64 { return s.BadTables }},
	{describe("undecodable_payloads_total", "Payloads that did not fit the type of a listener."), func(s *mesh.Stats) uint64 { return s.Undecodable }},
	{describe("rejected_connections_total", "Connections, and requests through trusted proxies, beyond the limit of one address."), func(s *mesh.Stats) uint64 { return s.RejectedConnections }},
	{describe("rejected_sessions_total", "Sessions beyond the limit of one address before admission."), func(s *mesh.Stats) uint64 { return s.RejectedSessions }},
	{describe("rejected_watchers_total", "Rejected requests to watch presence, beyond the limits."), func(s *mesh.Stats) uint64 { return s.RejectedWatchers }},
}

// reasons are the values of the label of events_dropped_total.
var reasons = []struct {
	name string
	of   func(*mesh.Stats) uint64
}{
	{"malformed", func(s *mesh.Stats) uint64 { return s.Malformed }},
	{"reserved", func(s *mesh.Stats) uint64 { return s.Reserved }},
	{"unauthorized", func(s *mesh.Stats) uint64 { return s.Unauthorized }},
	{"not_permitted", func(s *mesh.Stats) uint64 { return s.NotPermitted }},
	{"withheld", func(s *mesh.Stats) uint64 { return s.Withheld }},
	{"too_early", func(s *mesh.Stats) uint64 { return s.TooEarly }},
	{"rate_limited", func(s *mesh.Stats) uint64 { return s.RateLimited }},
	{"refused", func(s *mesh.Stats) uint64 { return s.RejectedByHub }},
	{"queue_full", func(s *mesh.Stats) uint64 { return s.Overflowed }},
	{"backplane", func(s *mesh.Stats) uint64 { return s.HubsDropped }},
	{"late", func(s *mesh.Stats) uint64 { return s.Late }},
	{"callbacks_full", func(s *mesh.Stats) uint64 { return s.Missed }},
}

// The collector shows every combination from the start, with 0. A time series that appears later has no rate at first.
var (
	transports = []engineio.Transport{engineio.Polling, engineio.WebSocket, engineio.WebTransport}
	revisions  = []engineio.Revision{engineio.Revision3, engineio.Revision4}
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{peers, muted, queue, widest, callbackQueue, fanOut, hubs, up, dropped} {
		ch <- d
	}
	for _, c := range counters {
		ch <- c.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.node.Stats()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	c.collectSessions(gauge)
	gauge(muted, stats.Muted)
	gauge(callbackQueue, stats.CallbackQueue)
	gauge(hubs, stats.Hubs)
	if stats.Apart {
		gauge(up, 0)
	} else {
		gauge(up, 1)
	}
	for _, c := range counters {
		count(c.desc, c.of(&stats))
	}
	for _, r := range reasons {
		count(dropped, r.of(&stats), r.name)
	}
	buckets := make(map[float64]uint64, len(stats.FanOut.Buckets))
	for _, b := range stats.FanOut.Buckets {
		buckets[b.Most.Seconds()] = b.Count
	}
	ch <- prometheus.MustNewConstHistogram(fanOut, stats.FanOut.Count, stats.FanOut.Sum.Seconds(), buckets)
}

func (c collector) collectSessions(gauge func(d *prometheus.Desc, v int, labels ...string)) {
	type kind struct {
		transport engineio.Transport
		revision  engineio.Revision
	}
	kinds := make(map[kind]int)
	sum, most := 0, 0
	for _, s := range c.node.Sessions() {
		kinds[kind{s.Transport, s.Revision}]++
		sum += s.Queued
		most = max(most, s.Queued)
	}
	for _, t := range transports {
		for _, r := range revisions {
			if t == engineio.WebTransport && r == engineio.Revision3 {
				continue // WebTransport needs revision 4
			}
			gauge(peers, kinds[kind{t, r}], string(t), strconv.Itoa(int(r)))
		}
	}
	gauge(queue, sum)
	gauge(widest, most)
}
