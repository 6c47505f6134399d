package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "-", 0.004: "0.004", 0.312: "0.312", 0.9996: "1.00", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100",
		999.6: "1,000", 12_345.6: "12,346", 1_234_567: "1,234,567",
	} {
		require.Equal(t, want, number(v))
	}
}

func TestMedianIsOfEachFigure(t *testing.T) {
	require.Nil(t, median(nil))
	require.Nil(t, median([]outcome{{Error: "failed"}}))
	require.Equal(t, &figures{PerSecond: 2, CPU: 20}, median([]outcome{
		{figures: figures{PerSecond: 3, CPU: 10}},
		{figures: figures{PerSecond: 1, CPU: 30}},
		{figures: figures{PerSecond: 2, CPU: 20}},
	}))
	require.Equal(t, &figures{PerSecond: 1.5}, median([]outcome{
		{figures: figures{PerSecond: 1}}, {Error: "failed"}, {figures: figures{PerSecond: 2}},
	}))
}

func TestText(t *testing.T) {
	made := func(id, load string, srv *server, f *figures) *row {
		return &row{id: id, server: srv, Load: load, Server: srv.name, Median: f}
	}
	hub := made(idSubscribers[1], "400 subscribers", nodeHub, nil)
	hub.NotRun = "node is not on the PATH"
	some := made(idEcho1, "", googollee, &figures{PerSecond: 2_000, P99: 400})
	some.Runs = []outcome{{}, {Error: "reset"}, {}}
	r := &report{
		Machine: machine{
			Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: "abc", CPU: "Some CPU", Cores: 2, MemoryGB: 3.5, OS: "debian 12",
			Kernel: "6.1", Arch: "amd64", Go: "1.26.8", Node: "20.1.0", OpenFiles: 20_000,
		},
		Runs: 3,
		Scenarios: []*section{
			{Name: "echo", Title: "echoes", columns: []column{colAnswerRate, colP99}, Rows: []*row{
				made(idEcho1, "", ours, &figures{PerSecond: 3_000, P99: 123.4}), some,
			}},
			{Name: "mesh", Title: "events", columns: []column{colDeliveryRate, colDeliveryCPU}, Rows: []*row{
				made(idSubscribers[0], "50 subscribers", ourHub, &figures{PerSecond: 4_000_000, CPU: 0.5}),
				made(idSubscribers[1], "400 subscribers", ourHub, &figures{PerSecond: 5_000_000, CPU: 0.25}), hub,
				made(idSubscribers[3], "10,000 subscribers", ourHub, &figures{PerSecond: 3_000_000, CPU: 0.25}),
			}},
		},
	}
	r.Ratios = r.compare()
	var b strings.Builder
	require.NoError(t, r.writeText(&b))
	require.Empty(t, cmp.Diff(`CPU      Some CPU
cores    2, 3.5 GB of memory, 20,000 open files a process
system   debian 12, 6.1, amd64
runs on  Go 1.26.8, Node.js 20.1.0
date     2026-01-02 03:04 +0000
commit   abc

Each figure is the median of 3 runs. Client and server share the machine; CPU is the server's, user and system.

echo: echoes
  server           answers/s  p99 µs
  this project         3,000     123
  googollee 1.4.2      2,000     400  (1 of 3 runs failed: reset)

mesh: events
  load                server               deliveries/s  CPU µs/delivery
  50 subscribers      this project            4,000,000            0.500
  400 subscribers     this project            5,000,000            0.250
                      resource-mesh 0.5.1  did not run: node is not on the PATH
  10,000 subscribers  this project            3,000,000            0.250

Side by side
  echo, WebSocket, 1 under way: this project answers 1.50 times as often as googollee 1.4.2, with a p99 of 123 µs against 400 µs
  mesh, 10,000 subscribers: this project delivers 0.750 times as many a second as with 50 subscribers
`, b.String()))
}
