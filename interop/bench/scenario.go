package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
)

// sizes are the sizes of the scenarios.
type sizes struct {
	idle      int           // connections
	heartbeat time.Duration // of idle connections

	receivers  int // of a fan-out
	deliveries int // of a fan-out, in all
	ahead      int // messages that a publisher may be ahead of its slowest receiver
	patience   time.Duration

	busy    int // connections that echo
	warmUp  time.Duration
	echo    time.Duration
	connect time.Duration

	subscribers    [4]int // of a mesh; Node.js hubs are measured with the first two
	meshDeliveries int    // in all: enough for more than a thousand each with the most subscribers
	meshAhead      int    // deliveries by which the publisher may be ahead, besides ahead: each of them needs memory
	meshPatience   time.Duration
	nodeAhead      int    // ahead, for Node.js hubs
	spread         [2]int // subscribers of a cluster, over all its hubs
	turns          int    // number of parts of a cluster's load; loads that run at the same time do their parts in turns
	// spreadDeliveries is the number of deliveries of a cluster at full speed. spreadRate is the number of events per
	// second of a cluster at a rate, and spreadSeconds its duration. Before each of them there are a fifth as many
	// deliveries that do not count.
	spreadDeliveries, spreadRate, spreadSeconds int
	hops                                        int // messages from hub to hub, one at a time
	few, many                                   int // numbers of peers; one of them subscribes
	oneDeliveries                               int
	patterns                                    int // further patterns of each subscriber
}

var full = sizes{
	idle: 3_000, heartbeat: 5 * time.Second,
	receivers: 500, deliveries: 2_000_000, ahead: 1_000, patience: 10 * time.Second,
	busy: 64, warmUp: 500 * time.Millisecond, echo: 3 * time.Second, connect: 3 * time.Second,
	subscribers: [4]int{50, 400, 2_000, 10_000}, meshDeliveries: 16_000_000, meshAhead: 4_000_000, meshPatience: 20 * time.Second, nodeAhead: 50,
	spread: [2]int{600, 1_500}, turns: 20, spreadDeliveries: 50_000_000, spreadRate: 5_000, spreadSeconds: 10, hops: 5_000,
	few: 2, many: 2_000, oneDeliveries: 1_000_000, patterns: 100,
}

var quick = sizes{
	idle: 40, heartbeat: 250 * time.Millisecond,
	receivers: 10, deliveries: 2_000, ahead: 20, patience: 5 * time.Second,
	busy: 4, warmUp: 20 * time.Millisecond, echo: 100 * time.Millisecond, connect: 100 * time.Millisecond,
	subscribers: [4]int{5, 10, 20, 40}, meshDeliveries: 2_000, meshAhead: 2_000, meshPatience: 5 * time.Second, nodeAhead: 10,
	spread: [2]int{12, 24}, turns: 2, spreadDeliveries: 2_000, spreadRate: 200, spreadSeconds: 1, hops: 50,
	few: 2, many: 20, oneDeliveries: 500, patterns: 10,
}

// noHeartbeat is longer than any measurement, because googollee's server does not support heartbeats during a fan-out.
const noHeartbeat = 10 * time.Minute

// scenario is one section of the report.
type scenario struct {
	name    string
	title   string
	columns []column
	main    column // the column that progress shows
	loads   []load
}

// load is one measurement and the servers that it compares.
type load struct {
	id        string // for compare
	title     string
	servers   []*server
	kind      kind
	conns     int           // connections at a time
	hubs      int           // of a cluster; 0 if the server is one process
	heartbeat time.Duration // 0 is the server's default
	measure   func(ctx context.Context, c *child, t loadgen.Target) (figures, error)

	// Neighbouring loads with the same text in with run at the same time. They take turns, and each turn measures a
	// part of each load. This is for figures that differ by less than the machine's speed changes from one minute to
	// the next. Such loads have open in place of measure. open prepares a load, turn measures a part, and end follows
	// the last part.
	with  string
	turns int
	open  opening
}

type opening = func(ctx context.Context, c *child, t loadgen.Target) (turn func(context.Context) (figures, error), end func(), err error)

func scenarios(s sizes) []scenario {
	engines := []*server{ours, googollee, nodeEIO}
	idle := scenario{
		name:    "idle",
		title:   fmt.Sprintf("resident memory of the server for each of %s idle WebSocket connections", thousands(s.idle)),
		columns: []column{colMemory},
		main:    colMemory,
		loads: []load{{
			id: idIdle, servers: engines, kind: kindEcho, conns: s.idle, heartbeat: s.heartbeat, measure: s.measureIdle,
		}},
	}
	fanout := scenario{
		name:    "fanout",
		title:   fmt.Sprintf("1 connection sends %d bytes to %s others by WebSocket", messageSize, thousands(s.receivers)),
		columns: []column{colDeliveries, colDeliveryRate, colDeliveryCPU},
		main:    colDeliveryRate,
		loads: []load{{
			id: idFanOut, servers: engines, kind: kindRelay, conns: s.receivers + 1, heartbeat: noHeartbeat,
			measure: s.measureFanOut,
		}},
	}
	echo := scenario{
		name:    "echo",
		title:   fmt.Sprintf("%d connections, each with messages of %d bytes under way", s.busy, echoSize),
		columns: []column{colAnswerRate, colP50, colP99, colAnswerCPU},
		main:    colAnswerRate,
		loads: []load{
			{id: idEcho1, title: "WebSocket, 1 under way", servers: engines, kind: kindEcho, conns: s.busy, measure: s.measureEcho(1)},
			{id: idEcho16, title: "WebSocket, 16 under way", servers: engines, kind: kindEcho, conns: s.busy, measure: s.measureEcho(16)},
			{title: "polling, 1 under way", servers: engines, kind: kindEcho, conns: s.busy, measure: s.measurePolling},
		},
	}
	connect := scenario{
		name:    "connect",
		title:   "sessions opened and closed, 8 at a time",
		columns: []column{colConnectRate, colConnectCPU},
		main:    colConnectRate,
	}
	for _, how := range []struct{ name, title string }{
		{"websocket", "WebSocket"}, {"polling", "polling"}, {"upgrade", "polling, then WebSocket"},
	} {
		connect.loads = append(connect.loads, load{
			title: how.title, servers: engines, kind: kindEcho, conns: 16, measure: s.measureConnect(how.name),
		})
	}
	return []scenario{idle, fanout, echo, connect, meshScenario(s)}
}

// clusterScenario compares clusters of several hubs with a single hub. The events and the number of subscribers are the
// same.
func clusterScenario(s sizes) []scenario {
	spread := scenario{
		name:    "cluster",
		title:   "1 peer emits an event of one name to all others, spread over the hubs, by WebSocket",
		columns: []column{colDeliveries, colDeliveryRate, colDeliveryCPU},
		main:    colDeliveryRate,
	}
	hop := scenario{
		name:    "hop",
		title:   "1 peer emits one event at a time to 1 that listens, by WebSocket",
		columns: []column{colP50, colP99, colDeliveryCPU},
		main:    colP50,
	}
	for size, peers := range s.spread {
		for paced, rate := range []int{0, s.spreadRate} {
			deliveries, load := s.spreadDeliveries, fmt.Sprintf("%s peers, as many as they take", thousands(peers))
			if rate > 0 {
				deliveries, load = rate*peers*s.spreadSeconds, fmt.Sprintf("%s peers, %s events/s", thousands(peers), thousands(rate))
			}
			open := s.openMesh(interest{
				peers: peers, subscribers: peers, deliveries: deliveries / s.turns, warmUp: deliveries / 5, ahead: s.ahead, rate: rate,
			})
			for i, n := range []int{1, 2, 3} {
				spread.loads = append(spread.loads, s.hubsLoad(idHubs[size][paced][i], n, peers+1, load, open))
			}
		}
	}
	for i, n := range []int{1, 2} {
		hop.loads = append(hop.loads, load{
			id: idHops[i], title: []string{"both at one hub", "from one hub to the other"}[i], servers: []*server{ourCluster}, hubs: n, conns: 2,
			measure: s.measureHop,
		})
	}
	return []scenario{spread, hop}
}

// hubsLoad returns the load at a cluster with that number of hubs. It takes turns with the other loads that have the
// same text in with.
func (s sizes) hubsLoad(id string, hubs, conns int, what string, open opening) load {
	title := "1 hub, "
	if hubs > 1 {
		title = fmt.Sprintf("%d hubs, ", hubs)
	}
	return load{id: id, title: title + what, servers: []*server{ourCluster}, hubs: hubs, conns: conns, with: what, turns: s.turns, open: open}
}

func meshScenario(s sizes) scenario {
	sc := scenario{
		name:    "mesh",
		title:   "1 peer emits an event of one name to its subscribers, by WebSocket",
		columns: []column{colDeliveries, colDeliveryRate, colDeliveryCPU},
		main:    colDeliveryRate,
	}
	for i, n := range s.subscribers {
		l := load{
			id:    idSubscribers[i],
			title: fmt.Sprintf("%s subscribers", thousands(n)), servers: []*server{ourHub}, kind: kindHub, conns: n + 1,
			measure: s.measureMesh(interest{peers: n, subscribers: n, deliveries: s.meshDeliveries, ahead: min(s.ahead, s.meshAhead/n)}),
		}
		sc.loads = append(sc.loads, l)
		if i < 2 { // the time of a Node.js hub grows with the square of n
			// It sends nothing before it has handled all packets of one read: 64 KB take 20 s with 400 subscribers.
			l.servers = []*server{nodeHub}
			l.measure = s.measureMesh(interest{peers: n, subscribers: n, deliveries: s.meshDeliveries, ahead: s.nodeAhead})
			sc.loads = append(sc.loads, l)
		}
	}
	for i, n := range []int{s.few, s.many} {
		sc.loads = append(sc.loads, load{
			id:    []string{idOneOfFew, idOneOfMany}[i],
			title: fmt.Sprintf("1 subscriber among %s peers", thousands(n)), servers: []*server{ourHub}, kind: kindHub, conns: n + 1,
			measure: s.measureMesh(interest{peers: n, subscribers: 1, deliveries: s.oneDeliveries, ahead: s.ahead}),
		})
	}
	n := s.subscribers[1]
	sc.loads = append(sc.loads, load{
		title:   fmt.Sprintf("%s by pattern, %s patterns in all", thousands(n), thousands(n*(s.patterns+1))),
		servers: []*server{ourHub}, kind: kindHub, conns: n + 1,
		measure: s.measureMesh(interest{peers: n, subscribers: n, deliveries: s.meshDeliveries, ahead: s.ahead, patterns: s.patterns}),
	})
	return sc
}
