package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// TestAGoNodeTakesOverFromANodeHub kills a Node.js hub. A Go node takes over, and the Node.js client with reconnect.js
// and the other Go nodes find it. Then the test closes the Go hub, and another Go node takes over.
func TestAGoNodeTakesOverFromANodeHub(t *testing.T) {
	t.Parallel()
	s := &star{port: interoptest.StablePort(t)}
	h := startNodeMember(t)
	h.on(t, "mark")
	h.listen(t, Command{Port: s.port})
	s.hub = h
	original := startNodeMember(t)
	original.connect(t, Command{Port: s.port, Retry: 50})
	var ours []goMember
	for range 3 {
		n, err := mesh.Start(t.Context(), &mesh.Options{Addr: localAddr(s.port)})
		ours = append(ours, newGoMember(t, n, err))
	}
	s.clients = []member{original, ours[0], ours[1], ours[2]}
	for _, c := range s.clients {
		c.on(t, "ping")
	}
	s.sync(t)

	end := h.peer.Kill
	original.on(t, "done")
	deaf := make(map[string]func()) // functions that remove a client's listener for "done", which only clients have
	for len(ours) > 1 {
		end()
		s.clients = []member{original}
		var rest []goMember
		for _, m := range ours {
			m.events.MustAwait(t, "disconnected")
			m.events.MustAwait(t, "connected")
			switch off := deaf[m.ID()]; {
			case m.Role() == mesh.RoleHub:
				if off != nil {
					off()
				}
				m.on(t, "mark")
				s.hub, end = m, func() { require.NoError(t, m.Close()) }
				continue
			case off == nil:
				deaf[m.ID()] = m.listen("done")
			}
			rest = append(rest, m)
			s.clients = append(s.clients, m)
		}
		require.Len(t, rest, len(ours)-1, "not exactly one hub")
		ours = rest
		original.MustAwait(t, "connected")
		s.sync(t)
		want := []int{1, 1, 1, 1}[:1+len(s.clients)]
		for _, from := range append([]member{s.hub}, s.clients...) {
			s.requireRound(t, from, "ping", want...)
		}
	}
}

// The figures of the load test.
const (
	loadNodes   = 6 // Go nodes, besides two nodes of the original mesh
	loadEvery   = 10 * time.Millisecond
	originals   = 2
	originEvery = 50 * time.Millisecond
	calm        = 600 * time.Millisecond // the time before each kill; every event of this time must arrive once
	margin      = time.Second            // before the next kill
	healWithin  = 5 * time.Second
)

// load is an event that a node emitted, in the form in which the program gonode reports it.
type load struct {
	Src string
	N   int
	T   int64 // microseconds
}

// ledger records the emitted and received events.
type ledger struct {
	mu      sync.Mutex
	emitted map[load]struct{}
	heard   map[string]map[load]int // by receiver
	late    map[string]int64        // time of the latest event of each emitter that a Go node has received
	reached map[string]int64        // time of the latest event that each node has received
	news    chan struct{}           // closed and replaced at each change
}

func newLedger() *ledger {
	return &ledger{
		emitted: make(map[load]struct{}), heard: make(map[string]map[load]int), late: make(map[string]int64),
		reached: make(map[string]int64), news: make(chan struct{}),
	}
}

func (l *ledger) note(by string, ours bool, emitted, heard []load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range emitted {
		l.emitted[e] = struct{}{}
	}
	if l.heard[by] == nil {
		l.heard[by] = make(map[load]int)
	}
	for _, e := range heard {
		l.heard[by][e]++
		l.emitted[e] = struct{}{} // its emitter may have been killed before it reported the event
		l.reached[by] = max(l.reached[by], e.T)
		if ours {
			l.late[e.Src] = max(l.late[e.Src], e.T)
		}
	}
	close(l.news)
	l.news = make(chan struct{})
}

// await waits until holds returns true. It calls holds with l.mu held.
func (l *ledger) await(ctx context.Context, what string, holds func() bool) error {
	for {
		l.mu.Lock()
		ok, news := holds(), l.news
		l.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("interop: %s: %w", what, ctx.Err())
		}
	}
}

// count compares the events that were emitted from one time to another with the events that the nodes in by received. A
// node does not report its own events as received. The caller holds l.mu.
func (l *ledger) count(from, to int64, by []string) (events, wanted, lost, doubled int) {
	for e := range l.emitted {
		if e.T < from || e.T >= to {
			continue
		}
		events++
		for _, name := range by {
			if name == e.Src {
				continue
			}
			wanted++
			switch n := l.heard[name][e]; {
			case n == 0:
				lost++
			case n > 1:
				doubled++
			}
		}
	}
	return events, wanted, lost, doubled
}

// missing returns the number of events that count counts as lost, by emitter and receiver. The caller holds l.mu.
func (l *ledger) missing(from, to int64, by []string) map[string]int {
	ways := make(map[string]int)
	for e := range l.emitted {
		for _, name := range by {
			if e.T >= from && e.T < to && name != e.Src && l.heard[name][e] == 0 {
				ways[e.Src+" to "+name]++
			}
		}
	}
	return ways
}

// loaded is a node under load.
type loaded struct {
	name string
	peer *Peer
	hub  chan struct{} // closed when this node is the hub
	done chan struct{} // closed when all reports of the process are in the ledger
}

var gonode = sync.OnceValues(func() (string, error) { return build("./interop/gonode") })

// startLoaded starts a Go node.
func startLoaded(t *testing.T, l *ledger, port int, name string) *loaded {
	t.Helper()
	interoptest.Need(t, "go")
	exe, err := gonode()
	require.NoError(t, err)
	p, err := run(t.Context(), name, exec.CommandContext(t.Context(), exe, localAddr(port), name, loadEvery.String()))
	n := &loaded{name: name, peer: p.during(t, err), hub: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(n.done)
		for {
			ev, err := p.Node().Await(context.Background(), "load", "role") // until the process is killed
			if err != nil {
				return
			}
			switch {
			case ev.Kind == "role" && ev.Name == string(mesh.RoleHub):
				close(n.hub)
			case ev.Kind == "load":
				var r struct{ Emitted, Heard []load }
				if err := json.Unmarshal(ev.Result, &r); err != nil {
					t.Error(err)
				}
				l.note(name, true, r.Emitted, r.Heard)
			}
		}
	}()
	t.Cleanup(func() {
		p.Kill()
		<-n.done
	})
	return n
}

func (n *loaded) isHub() bool {
	select {
	case <-n.hub:
		return true
	default:
		return false
	}
}

// startOriginal starts a node of the original mesh with reconnect.js, and makes it emit.
func startOriginal(t *testing.T, l *ledger, port int, name string) *loaded {
	t.Helper()
	m := startNodeMember(t)
	m.on(t, "load")
	m.connect(t, Command{Port: port, Retry: 50})
	n := &loaded{name: name, peer: m.peer, done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			ev, err := m.Await(context.Background(), "heard", "emitted", "attempt", "refused", "connected", "upgrade", "ran")
			if err != nil {
				return
			}
			var e load
			switch ev.Kind {
			case "heard":
				if err := json.Unmarshal(ev.Payload, &e); err != nil {
					t.Error(err)
				}
				l.note(name, false, nil, []load{e})
			case "emitted":
				if err := json.Unmarshal(ev.Result, &e); err != nil {
					t.Error(err)
				}
				l.note(name, false, []load{e}, nil)
			}
		}
	})
	// The node emits from a timer in its own process, so that the time in an event is the time of its emission, even if
	// the timer is late.
	code := fmt.Sprintf(`
		let n = 0
		setInterval(function () {
			const e = { src: %q, n: n++, t: Date.now() * 1000 }
			mesh.emitter.emit('load', e)
			report({ event: 'emitted', result: e })
		}, %d)`, name, originEvery.Milliseconds())
	require.NoError(t, m.Do(Command{Do: "run", Text: &code}))
	t.Cleanup(func() {
		m.peer.Kill()
		wg.Wait()
	})
	return n
}

// kills returns how many times the load test kills the hub.
func kills() int {
	if interoptest.Full() {
		return 10
	}
	return 1
}

// TestHubKilledUnderLoad kills the hub several times. Within 5 s of each kill every node must have flushed through the
// new hub. The events after that, until a second before the next kill, must be neither lost nor doubled. The test
// prints the losses around each kill.
func TestHubKilledUnderLoad(t *testing.T) {
	t.Parallel()
	l, port := newLedger(), interoptest.StablePort(t)
	nodes := []*loaded{startLoaded(t, l, port, "go-0")}
	for i := 1; i < loadNodes; i++ {
		nodes = append(nodes, startLoaded(t, l, port, fmt.Sprintf("go-%d", i)))
	}
	var theirs []*loaded
	for i := range originals {
		theirs = append(theirs, startOriginal(t, l, port, fmt.Sprintf("node-%d", i)))
	}
	names := func() (all []string) {
		for _, n := range append(append([]*loaded(nil), nodes...), theirs...) {
			all = append(all, n.name)
		}
		return all
	}
	// flush waits until all nodes have flushed. A node of the original mesh counts as flushed when an event that it
	// emitted after since has arrived, so that the hub has its table, and when it has received an event that was
	// emitted after since.
	flush := func(since time.Time) {
		t.Helper()
		ctx, cancel := context.WithDeadline(t.Context(), since.Add(AwaitTimeout))
		defer cancel()
		for _, n := range nodes {
			require.NoError(t, n.peer.Node().Do(Command{Do: "flush"}))
		}
		for _, n := range nodes {
			_, err := n.peer.Node().Await(ctx, "flushed")
			require.NoError(t, err)
		}
		for _, n := range theirs {
			require.NoError(t, l.await(ctx, n.name+" does not return", func() bool {
				return min(l.late[n.name], l.reached[n.name]) > since.UnixMicro()
			}))
		}
	}
	flush(time.Now())

	type window struct {
		from, to int64
		by       []string
	}
	// arrive waits until the events of a window have arrived. If that takes longer than margin, the machine is
	// overloaded, and a kill would lose events that are under way. Then arrive logs the delay.
	arrive := func(w window) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for late := time.Duration(0); late < AwaitTimeout; late = time.Since(began) {
			l.mu.Lock()
			_, _, lost, _ := l.count(w.from, w.to, w.by)
			l.mu.Unlock()
			if lost == 0 {
				if late > 0 {
					t.Logf("the last events of a window were heard up to %v later than %v behind it", late.Round(time.Millisecond), margin)
				}
				return
			}
			<-tick.C
		}
	}
	var quiet []window
	var healed []time.Duration
	for round := range kills() + 1 {
		w := window{from: time.Now().UnixMicro(), by: names()}
		time.Sleep(calm)
		w.to = time.Now().UnixMicro()
		time.Sleep(margin)
		quiet = append(quiet, w)
		arrive(w)
		if round == kills() {
			break
		}
		var hub *loaded
		var rest []*loaded
		for _, n := range nodes {
			if n.isHub() {
				require.Nil(t, hub, "two hubs")
				hub = n
			} else {
				rest = append(rest, n)
			}
		}
		require.NotNil(t, hub)
		nodes = rest
		killed := time.Now()
		hub.peer.Kill()
		<-hub.done
		flush(killed)
		healed = append(healed, time.Since(killed))
		interoptest.RequireTakes(t, healWithin, healed[round], "until all have flushed")
		nodes = append(nodes, startLoaded(t, l, port, fmt.Sprintf("go-%d", loadNodes+round)))
		flush(time.Now())
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	for round, w := range quiet {
		events, wanted, lost, doubled := l.count(w.from, w.to, w.by)
		require.Greater(t, events, int(calm/loadEvery), "no load")
		require.Zero(t, lost, "lost of %d, between kill %d and the next: %v", wanted, round, l.missing(w.from, w.to, w.by))
		require.Zero(t, doubled, "doubled of %d, between kill %d and the next", wanted, round)
		if round == kills() {
			break
		}
		var both []string // the nodes that ran before and after the kill
		for _, name := range w.by {
			for _, other := range quiet[round+1].by {
				if name == other {
					both = append(both, name)
				}
			}
		}
		events, wanted, lost, doubled = l.count(w.to, quiet[round+1].from, both)
		t.Logf("kill %2d: all flushed after %4d ms; from %v before it until then %d events for %d nodes: of %d deliveries %d lost, %d doubled",
			round+1, healed[round].Milliseconds(), margin, events, len(both), wanted, lost, doubled)
	}
}
