package main

import (
	"fmt"
	"slices"
)

// The IDs of the loads that compare uses. The sizes in them are the sizes of a full run.
const (
	idIdle      = "idle"
	idFanOut    = "fanout"
	idEcho1     = "echo 1"
	idEcho16    = "echo 16"
	idOneOfFew  = "1 of 2"
	idOneOfMany = "1 of 2,000"
)

// idHubs are the IDs of cluster loads: with few or many peers, at full speed or at a rate, and with 1, 2 and 3 hubs.
var idHubs = [2][2][3]string{
	{{"1 hub, few, fast", "2 hubs, few, fast", "3 hubs, few, fast"}, {"1 hub, few", "2 hubs, few", "3 hubs, few"}},
	{{"1 hub, many, fast", "2 hubs, many, fast", "3 hubs, many, fast"}, {"1 hub, many", "2 hubs, many", "3 hubs, many"}},
}

var idHops = [2]string{"at one hub", "one hop"}

var idSubscribers = [4]string{"50", "400", "2,000", "10,000"}

// compare describes in words how the figures relate. It leaves out comparisons without figures.
func (r *report) compare() []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if us := r.find(idIdle, ours); us != nil {
		for _, peer := range []*server{googollee, nodeEIO} {
			if p := r.find(idIdle, peer); p != nil {
				say("idle: %s takes %s times the memory of this project, %s KB against %s KB a connection",
					peer.name, ratio(p.Memory, us.Memory), number(p.Memory), number(us.Memory))
			}
		}
	}
	if us := r.find(idFanOut, ours); us != nil {
		for _, peer := range []*server{googollee, nodeEIO} {
			if p := r.find(idFanOut, peer); p != nil {
				say("fanout: this project delivers %s times as many a second as %s, for %s times the CPU each",
					ratio(us.PerSecond, p.PerSecond), peer.name, ratio(us.CPU, p.CPU))
			}
		}
	}
	for _, e := range []struct {
		id   string
		load string
	}{{idEcho1, "1 under way"}, {idEcho16, "16 under way"}} {
		us := r.find(e.id, ours)
		if us == nil {
			continue
		}
		for _, peer := range []*server{googollee, nodeEIO} {
			if p := r.find(e.id, peer); p != nil {
				say("echo, WebSocket, %s: this project answers %s times as often as %s, with a p99 of %s µs against %s µs",
					e.load, ratio(us.PerSecond, p.PerSecond), peer.name, number(us.P99), number(p.P99))
			}
		}
	}
	for i, id := range idSubscribers {
		us, node := r.find(id, ourHub), r.find(id, nodeHub)
		if us != nil && node != nil {
			say("mesh, %s: this project delivers %s times as many a second as %s",
				r.load(idSubscribers[i]), ratio(us.PerSecond, node.PerSecond), nodeHub.name)
		}
	}
	if small, large := r.find(idSubscribers[0], ourHub), r.find(idSubscribers[3], ourHub); small != nil && large != nil {
		say("mesh, %s: this project delivers %s times as many a second as with %s", r.load(idSubscribers[3]), ratio(large.PerSecond, small.PerSecond),
			r.load(idSubscribers[0]))
	}
	if few, many := r.find(idOneOfFew, ourHub), r.find(idOneOfMany, ourHub); few != nil && many != nil {
		say("mesh, %s: a delivery takes %s times the server's CPU with %s", r.load(idOneOfMany), ratio(many.CPU, few.CPU), r.load(idOneOfFew))
	}
	for _, ids := range slices.Concat(idHubs[0][:], idHubs[1][:]) {
		one := r.row(ids[0], ourCluster)
		for _, id := range ids[1:] {
			if n := r.row(id, ourCluster); one != nil && n != nil && one.Median != nil && n.Median != nil {
				say("cluster, %s: %s times as many deliveries for each second of the hubs' CPU time as with 1 hub, %s times as many a second",
					n.Load, pairs(one, n, func(f figures) float64 { return f.CPU }), pairs(n, one, func(f figures) float64 { return f.PerSecond }))
			}
		}
	}
	if here, there := r.find(idHops[0], ourCluster), r.find(idHops[1], ourCluster); here != nil && there != nil {
		say("hop: from one hub to the other an event takes %s µs longer than at one hub (p50), %s µs (p99)",
			number(there.P50-here.P50), number(there.P99-here.P99))
	}
	return lines
}

// find returns the median of a load at a server, or nil if the report has no such figures.
func (r *report) find(id string, srv *server) *figures {
	if row := r.row(id, srv); row != nil {
		return row.Median
	}
	return nil
}

// row returns the row of a load at a server, or nil if the report has no such row.
func (r *report) row(id string, srv *server) *row {
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			if row.id == id && row.server == srv {
				return row
			}
		}
	}
	return nil
}

// pairs returns the median of the ratios of two rows, run by run. The rows took turns, so a change in the machine's
// speed affects both figures of a run.
func pairs(a, b *row, figure func(figures) float64) string {
	var ratios []float64
	for i := range min(len(a.Runs), len(b.Runs)) {
		if x, y := a.Runs[i], b.Runs[i]; x.Error == "" && y.Error == "" && figure(y.figures) > 0 {
			ratios = append(ratios, figure(x.figures)/figure(y.figures))
		}
	}
	return number(middle(ratios))
}

// load returns the title of a load.
func (r *report) load(id string) string {
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			if row.id == id {
				return row.Load
			}
		}
	}
	return ""
}

// ratio returns a/b as text. It returns a dash if b was too small to be measured.
func ratio(a, b float64) string {
	if b == 0 {
		return number(0)
	}
	return number(a / b)
}
