package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// The figures of the test of the whole cluster.
const (
	clusterHubs = 3
	clusterRow  = 500 // events that each client emits before all clients wait: at most 0.7 MB for a client that does not read. A queue has 1 MiB
)

// clusterCounts returns how many events each client emits in the test of the whole cluster, and to how many of them, which
// come first, only clients of the same hub subscribe.
func clusterCounts() (all, local int) {
	if interoptest.Full() {
		return 10_000, 2_500
	}
	return 2_000, 500
}

// clustered is a client that emits numbered events, and counts the events that it receives.
type clustered interface {
	// emit emits the events from one number up to another, and uses the names in turn.
	emit(t *testing.T, names []string, from, to int)
	// await waits until the client has received total events. It returns the number of events by emitter. The events
	// must come in order, and each of them only once.
	await(t *testing.T, total int) map[int]int
}

// clusterMember is a client, its hub and its subscriptions.
type clusterMember struct {
	clustered
	what     string
	hub      int
	patterns []string
}

// emits returns the names of the events that member by emits: local for the first events, others for the rest.
func (m *clusterMember) emits(by int) (local, others []string) {
	return []string{fmt.Sprintf("here::%d", m.hub)},
		[]string{fmt.Sprintf("all::%d", by), fmt.Sprintf("go::%d::x", by), fmt.Sprintf("next::%d", m.hub)}
}

// wants reports whether the member subscribes to a name. Each of its patterns is a name or ends with asterisks for the
// rest.
func (m *clusterMember) wants(name string) bool {
	return slices.ContainsFunc(m.patterns, func(p string) bool {
		return p == name || strings.HasSuffix(p, "*") && strings.HasPrefix(name, strings.TrimRight(p, "*"))
	})
}

// numbered is the payload of an event.
type numbered struct {
	By int `json:"by"`
	N  int `json:"n"`
}

// goClustered is a client of ours.
type goClustered struct {
	goMember
	by int

	mu     sync.Mutex
	heard  map[int]int // by emitter
	next   map[int]int // by emitter: the lowest number that may come next
	total  int
	faults []string
	want   int           // the total for which await waits
	enough chan struct{} // holds an element when total has reached want
}

func startGoClustered(t *testing.T, addr string, by int, patterns []string) *goClustered {
	t.Helper()
	n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: addr})
	c := &goClustered{
		goMember: newGoMember(t, n, err), by: by,
		heard: make(map[int]int), next: make(map[int]int), enough: make(chan struct{}, 1),
	}
	for _, p := range patterns {
		n.On(p, c.count)
	}
	c.flush(t)
	return c
}

func (c *goClustered) count(e mesh.Event) {
	var p numbered
	err := e.Decode(&p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || p.N < c.next[p.By] {
		c.faults = append(c.faults, fmt.Sprintf("%v %s, %d or more was to come", e.Name, e.Payload, c.next[p.By]))
	}
	c.next[p.By] = p.N + 1
	c.heard[p.By]++
	if c.total++; c.total == c.want {
		c.enough <- struct{}{}
	}
}

func (c *goClustered) emit(t *testing.T, names []string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		require.NoError(t, c.Emit(names[n%len(names)], numbered{c.by, n}))
	}
}

func (c *goClustered) await(t *testing.T, total int) map[int]int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.want = total; c.total < total {
		c.mu.Unlock()
		select {
		case <-c.enough:
		case <-time.After(AwaitTimeout):
		}
		c.mu.Lock()
	}
	require.Empty(t, c.faults)
	require.Equal(t, total, c.total, "%v", c.heard)
	return maps.Clone(c.heard)
}

// counter is the JavaScript code of a client that counts events. state holds the counts, client is the emitter. The
// values for %s are its patterns and its number.
const counter = `
const state = globalThis.state = { client, by: %[2]s, heard: {}, next: {}, total: 0, want: 0, faults: [] }
for (const pattern of %[1]s) {
  client.on(pattern, function (p) {
    if (!(p.n >= (state.next[p.by] || 0))) state.faults.push(JSON.stringify(p) + ', ' + state.next[p.by] + ' or more was to come')
    state.next[p.by] = p.n + 1
    state.heard[p.by] = (state.heard[p.by] || 0) + 1
    if (++state.total === state.want) state.reached()
  })
}
state.emit = function (names, from, to) {
  for (let n = from; n < to; n++) state.client.emit(names[n %% names.length], { by: state.by, n })
}
state.await = function (total, reached) {
  Object.assign(state, { want: total, reached })
  if (state.total >= total) reached()
}
state.result = () => ({ heard: state.heard, total: state.total, faults: state.faults })
`

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// jsResult is the result of counter.
type jsResult struct {
	Heard  map[int]int
	Total  int
	Faults []string
}

func (r jsResult) check(t *testing.T, total int) map[int]int {
	t.Helper()
	require.Empty(t, r.Faults)
	require.Equal(t, total, r.Total, "%v", r.Heard)
	return r.Heard
}

// nodeClustered is a client of the original mesh.
type nodeClustered struct{ nodeMember }

func startNodeClustered(t *testing.T, addr string, by int, patterns []string) nodeClustered {
	t.Helper()
	m := nodeClustered{startNodeMember(t)}
	m.do(t, "const client = mesh.emitter;"+counter, marshal(t, patterns), marshal(t, by))
	m.connect(t, Command{Port: portOf(t, addr), Retry: 50})
	return m
}

func (m nodeClustered) do(t *testing.T, code string, values ...any) {
	t.Helper()
	code = fmt.Sprintf(code, values...)
	m.Must(t, Command{Do: "run", Text: &code}, "ran")
}

func (m nodeClustered) emit(t *testing.T, names []string, from, to int) {
	t.Helper()
	m.do(t, "state.emit(%s, %d, %d)", marshal(t, names), from, to)
}

func (m nodeClustered) await(t *testing.T, total int) map[int]int {
	t.Helper()
	// When the time is up, the client reports its counts so far.
	m.do(t, `
		const enough = () => { clearTimeout(timer); report({ event: 'reached', result: state.result() }) }
		const timer = setTimeout(enough, %d)
		state.await(%d, enough)`, (AwaitTimeout / 2).Milliseconds(), total)
	var r jsResult
	require.NoError(t, json.Unmarshal(m.MustAwait(t, "reached").Result, &r))
	return r.check(t, total)
}

// pageClustered is the JavaScript client of the hub, in a browser.
type pageClustered struct{ visit }

// startPageClustered opens a page of the hub's origin. It is not the page that hubs serve, because that page subscribes
// to all events.
func startPageClustered(t *testing.T, addr string, by int, patterns []string) pageClustered {
	t.Helper()
	p := pageClustered{startVisitor(t).visit(t, "http://"+addr+"/mesh.js", nil)}
	p.do(t, "const client = (await import('/mesh.mjs')).connect({ url: location.origin });"+counter+`
	await new Promise(resolve => client.onState(s => { if (s.status === 'connected') resolve() }))`, marshal(t, patterns), marshal(t, by))
	return p
}

// do runs code in the page.
func (p pageClustered) do(t *testing.T, code string, values ...any) json.RawMessage {
	t.Helper()
	code = fmt.Sprintf("async () => {"+code+"}", values...)
	return p.run(t, "return page.evaluate('(' + %s + ')()')", code)
}

func (p pageClustered) emit(t *testing.T, names []string, from, to int) {
	t.Helper()
	p.do(t, "state.emit(%s, %d, %d)", marshal(t, names), from, to)
}

func (p pageClustered) await(t *testing.T, total int) map[int]int {
	t.Helper()
	var r jsResult
	require.NoError(t, json.Unmarshal(p.do(t, "await new Promise(resolve => state.await(%d, resolve)); return state.result()", total), &r))
	return r.check(t, total)
}

// wholeCluster is three hubs of one mesh.
type wholeCluster struct {
	addrs []string
	// came returns the number of events that a hub has received from other hubs.
	came func(t *testing.T, hub int) int
	// crossed, if it is not nil, returns NATS's counts for a hub.
	crossed func(t *testing.T, hub int) traffic
}

// traffic holds NATS's counts for one connection.
type traffic struct{ InMsgs, OutMsgs, InBytes, OutBytes int }

func (a traffic) since(b traffic) traffic {
	return traffic{a.InMsgs - b.InMsgs, a.OutMsgs - b.OutMsgs, a.InBytes - b.InBytes, a.OutBytes - b.OutBytes}
}

// TestTheWholeCluster runs three hubs. Each hub has two clients of ours and one client of the original mesh, and one
// hub has a page too. Each client emits thousands of numbered events, and receives the events to which it subscribes once
// and in order. An event does not go to a hub without a subscriber.
func TestTheWholeCluster(t *testing.T) {
	t.Parallel()
	t.Run("a nats-server", func(t *testing.T) {
		t.Parallel()
		testWholeCluster(t, startHubsAtNATS(t))
	})
	t.Run("hubs with an embedded NATS", func(t *testing.T) {
		t.Parallel()
		testWholeCluster(t, startHubCommands(t))
	})
}

// natsConfig writes the NATS configuration in docs/security.md to a file and returns the file's name.
func natsConfig(t *testing.T) string {
	t.Helper()
	root, err := moduleRoot()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	require.NoError(t, err)
	_, config, _ := strings.Cut(string(text), "```\nauthorization")
	config, _, found := strings.Cut("authorization"+config, "```")
	require.True(t, found)
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(config, "$HUB_PASSWORD", "secret")), 0o600))
	return file
}

// startHubsAtNATS starts hubs in this process, so that the race detector sees them. A nats-server joins them.
func startHubsAtNATS(t *testing.T) *wholeCluster {
	t.Helper()
	server := startNATS(t, "-c", natsConfig(t))
	url := strings.Replace(server.url, "//", "//hub:secret@", 1)
	c := &wholeCluster{}
	var hubs []goMember
	for i := range clusterHubs {
		nc := connectNATS(t, url, fmt.Sprintf("hub %d", i))
		b := natsbackplane.New(nc, nil)
		h := startGoHub(t, mesh.Options{Backplane: b})
		hubs, c.addrs = append(hubs, h), append(c.addrs, h.Addr())
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("hub %d: %+v, and of NATS %+v", i, h.Stats(), b.Stats())
			}
		})
	}
	c.came = func(_ *testing.T, hub int) int { return int(hubs[hub].Stats().HubsIn) }
	c.crossed = func(t *testing.T, hub int) traffic {
		t.Helper()
		var page bytes.Buffer
		require.NoError(t, get(t.Context(), server.page+"connz", &page))
		var connz struct {
			Connections []struct {
				Name     string `json:"name"`
				InMsgs   int    `json:"in_msgs"`
				OutMsgs  int    `json:"out_msgs"`
				InBytes  int    `json:"in_bytes"`
				OutBytes int    `json:"out_bytes"`
			} `json:"connections"`
		}
		require.NoError(t, json.Unmarshal(page.Bytes(), &connz))
		for _, n := range connz.Connections {
			if n.Name == fmt.Sprintf("hub %d", hub) {
				return traffic{n.InMsgs, n.OutMsgs, n.InBytes, n.OutBytes}
			}
		}
		require.FailNow(t, "NATS does not know the hub", "%s", page.String())
		return traffic{}
	}
	return c
}

// startHubCommands starts three 'mesh listen --cluster'. Each of them contains a NATS server.
func startHubCommands(t *testing.T) *wholeCluster {
	t.Helper()
	f := startFleet(t, "--metrics", "/metrics")
	c := &wholeCluster{}
	for _, h := range f.hubs {
		c.addrs = append(c.addrs, h.addr)
	}
	line := regexp.MustCompile(`(?m)^mesh_hub_events_received_total (\S+)$`)
	c.came = func(t *testing.T, hub int) int {
		t.Helper()
		var page bytes.Buffer
		require.NoError(t, get(t.Context(), "http://"+c.addrs[hub]+"/metrics", &page))
		found := line.FindStringSubmatch(page.String())
		require.NotNil(t, found, "%s", page.String())
		n, err := strconv.ParseFloat(found[1], 64)
		require.NoError(t, err)
		return int(n)
	}
	return c
}

func testWholeCluster(t *testing.T, c *wholeCluster) {
	var members []*clusterMember
	add := func(what string, hub int, patterns ...string) {
		m := &clusterMember{what: what, hub: hub, patterns: append(patterns, fmt.Sprintf("here::%d", hub))}
		by, addr := len(members), c.addrs[hub]
		switch what {
		case "page":
			m.clustered = startPageClustered(t, addr, by, m.patterns)
		case "original":
			m.clustered = startNodeClustered(t, addr, by, m.patterns)
		default:
			m.clustered = startGoClustered(t, addr, by, m.patterns)
		}
		members = append(members, m)
	}
	add("page", 0, "all::*")
	for hub := range clusterHubs {
		next := fmt.Sprintf("next::%d", (hub+clusterHubs-1)%clusterHubs)
		add("original", hub, "all::*", next)
		add("ours", hub, "all::*", "go::**", next)
		add("ours", hub, "all::**", "go::**") // NATS delivers these events twice
	}

	// A client of the original mesh reports that it is connected when it has sent its table. The hub may not have the
	// table then.
	ours := members[len(members)-1].clustered.(*goClustered)
	require.Eventually(t, func() bool {
		known := 0
		for hub := range clusterHubs {
			known += listeners(t, ours.goMember, fmt.Sprintf("here::%d", hub))
		}
		return known == len(members)
	}, AwaitTimeout, 10*time.Millisecond)

	heard := make([]map[int]int, len(members)) // by listener and emitter
	for i := range heard {
		heard[i] = make(map[int]int)
	}
	events, local := clusterCounts()
	came := make([]int, clusterHubs)
	// emit makes all members emit the events from one number up to another, and returns when all members have received
	// them.
	emit := func(from, to int) {
		for by, m := range members {
			names, others := m.emits(by)
			if from >= local {
				names = others
			}
			m.emit(t, names, from, to)
			for n := from; n < to; n++ {
				name := names[n%len(names)]
				wanted := make([]bool, clusterHubs)
				for i, l := range members {
					if l.wants(name) {
						heard[i][by]++
						wanted[l.hub] = true
					}
				}
				for hub, is := range wanted {
					if is && hub != m.hub {
						came[hub]++
					}
				}
			}
		}
		for i, m := range members {
			total := 0
			for _, n := range heard[i] {
				total += n
			}
			require.Equal(t, heard[i], m.await(t, total), "%s %d at hub %d, events %d to %d", m.what, i, m.hub, from, to)
		}
	}
	crossed := func() (all []traffic) {
		for hub := range c.addrs {
			if c.crossed != nil {
				all = append(all, c.crossed(t, hub))
			}
		}
		return all
	}

	emit(0, 1) // all members can be reached
	before := crossed()
	for n := 1; n < local; n += clusterRow {
		emit(n, min(n+clusterRow, local))
	}
	for hub := range c.addrs {
		require.Zero(t, c.came(t, hub), "an event without subscribers at hub %d has come to it", hub)
	}
	offered := 0 // bytes that a hub offers, in payloads alone
	for n := 1; n < local; n++ {
		offered += 3 * len(marshal(t, numbered{0, n}))
	}
	for hub, after := range crossed() {
		got := after.since(before[hub])
		t.Logf("NATS, while %d events were emitted that stay: hub %d sent %d bytes and got %d, in %d messages", local-1, hub, got.InBytes, got.OutBytes, got.OutMsgs)
		require.Greater(t, got.InBytes, offered, "the hub has not even offered its events")
		require.Less(t, got.OutBytes, (local-1)*10, "more than the hubs' own messages")
	}
	for n := local; n < events; n += clusterRow {
		emit(n, n+clusterRow)
	}
	emit(events, events+1) // a second copy of any event would have come before this event
	for hub := range c.addrs {
		require.Equal(t, came[hub], c.came(t, hub), "events that came to hub %d from others", hub)
	}
}
