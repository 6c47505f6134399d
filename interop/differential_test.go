package interop

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// script is a conversation in which our server must behave like the reference, engine.io. The servers accept both
// revisions and echo every message.
type script struct {
	name  string
	node  map[string]any         // options of engine.io
	ours  engineio.ServerOptions // the same options for our server
	calls func(c *caller)
	// silent means that the script waits for a response that a server never sends.
	silent bool
}

func allScripts() []script {
	return slices.Concat(handshakeScripts(), pollingScripts(), websocketScripts(), upgradeScripts(), featureScripts())
}

// TestDifferential has the same conversations with engine.io 6.6.13 and with our server, byte by byte, and compares all
// responses. They must be equal, or the difference must be listed in Differences.
func TestDifferential(t *testing.T) {
	t.Parallel()
	node := startNode(t, EngineRaw)
	scripts := allScripts()
	seen := newSightings()
	t.Run("scripts", func(t *testing.T) {
		for _, s := range scripts {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				theirs := hold(s, listenNode(t, node, s.node))
				ours := hold(s, listenOurs(t, s.ours))
				for _, d := range differences(theirs, ours) {
					if !seen.listed(s.name, d) {
						t.Errorf("differs, and is not listed: %s: %s: %s: ours %q, theirs %q", s.name, d.step, d.field, d.ours, d.theirs)
					}
				}
				seen.ran(s.name)
			})
		}
	})
	if len(seen.scripts) == len(scripts) { // no script was filtered out or failed early
		seen.requireAll(t)
	}
}

func TestScriptsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, s := range allScripts() {
		require.False(t, names[s.name], s.name)
		names[s.name] = true
	}
	require.GreaterOrEqual(t, len(names), 60)
}

func hold(s script, addr string) []saying {
	c := &caller{addr: addr, patience: patience}
	if s.silent {
		c.patience = time.Second
	}
	defer c.close()
	s.calls(c)
	return c.notes
}

type difference struct{ step, field, ours, theirs string }

// differences compares the observations of two servers. If only one server has an observation, the value of the other
// one is empty. Responses with different status are one difference, in the field answer.
func differences(theirs, ours []saying) []difference {
	steps, said := make([]string, 0, len(theirs)), make(map[string][2]map[string]string)
	for i, notes := range [][]saying{theirs, ours} {
		for _, n := range notes {
			both, known := said[n.step]
			if !known {
				both = [2]map[string]string{{}, {}}
				said[n.step] = both
				steps = append(steps, n.step)
			}
			if before, again := both[i][n.field]; again {
				n.value = before + " & " + n.value
			}
			both[i][n.field] = n.value
		}
	}
	var all []difference
	for _, step := range steps {
		a, b := said[step][0], said[step][1]
		if a["status"] != b["status"] {
			all = append(all, difference{step, "answer", brief(b), brief(a)})
			continue
		}
		fields := make(map[string]bool)
		for field := range a {
			fields[field] = true
		}
		for field := range b {
			fields[field] = true
		}
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			if a[field] != b[field] {
				all = append(all, difference{step, field, b[field], a[field]})
			}
		}
	}
	return all
}

// brief returns a response in one line.
func brief(answer map[string]string) string {
	var parts []string
	for _, field := range []string{"status", "body", "connection"} {
		if answer[field] != "" {
			parts = append(parts, answer[field])
		}
	}
	return strings.Join(parts, ", ")
}

// sightings records which of Differences occurred.
type sightings struct {
	mu      sync.Mutex
	scripts map[string]bool
	places  map[[2]int]bool // by index in Differences and in Where
}

func newSightings() *sightings {
	return &sightings{scripts: make(map[string]bool), places: make(map[[2]int]bool)}
}

func (s *sightings) ran(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[name] = true
}

func (s *sightings) listed(script string, d difference) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	for i, l := range Differences {
		for j, where := range l.Where {
			if like(where, script+": "+d.step) && like(l.Field, d.field) && like(l.Ours, d.ours) && like(l.Theirs, d.theirs) {
				s.places[[2]int{i, j}], found = true, true
			}
		}
	}
	return found
}

func (s *sightings) requireAll(t *testing.T) {
	for i, l := range Differences {
		assert.NotEmpty(t, l.Reason)
		for j, where := range l.Where {
			assert.True(t, s.places[[2]int{i, j}], "listed, and does not differ any more: %s: %s: ours %q, theirs %q", where, l.Field, l.Ours, l.Theirs)
		}
	}
}

// like reports whether s matches a pattern in which * matches any text.
func like(pattern, s string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild || pattern == s {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, head)
	for ok && !like(rest, s) {
		ok = s != ""
		s = s[min(1, len(s)):]
	}
	return ok
}

// listenNode starts a server of the reference for one script.
func listenNode(t *testing.T, node *Peer, options map[string]any) (addr string) {
	t.Helper()
	all := map[string]any{"allowEIO3": true}
	maps.Copy(all, options)
	e := node.Endpoint()
	ev := e.Must(t, Command{Do: "listen", Options: all}, "listening")
	t.Cleanup(func() { assert.NoError(t, e.Do(Command{Do: "close"})) })
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(ev.Port))
}

// listenOurs starts our server for one script, with the controls of eio-raw.js.
func listenOurs(t *testing.T, opts engineio.ServerOptions) (addr string) {
	t.Helper()
	if opts.Revisions == nil {
		opts.Revisions = []engineio.Revision{engineio.Revision3, engineio.Revision4}
	}
	srv := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			_ = s.Write(ctx, m) // ignored: Read fails too
		}
	}), &opts)
	var polls atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if what, ok := strings.CutPrefix(r.URL.Path, "/control/"); ok {
			control(srv, &polls, what, w, r)
			return
		}
		if r.Method == http.MethodGet {
			p := &waiting{Context: r.Context(), count: &polls}
			defer p.over()
			r = r.WithContext(p)
		}
		srv.ServeHTTP(w, r)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, srv.Close())
		assert.NoError(t, web.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return l.Addr().String()
}

// control handles the controls that eio-raw.js describes.
func control(srv *engineio.Server, polls *atomic.Int64, what string, w http.ResponseWriter, r *http.Request) {
	switch what {
	case "state":
		_ = json.NewEncoder(w).Encode(controlState{Sessions: len(srv.Sockets()), Polls: int(polls.Load())})
	case "send":
		count, _ := strconv.Atoi(r.FormValue("count"))
		for range max(count, 1) {
			for _, s := range srv.Sockets() {
				m := engineio.Text(r.FormValue("text"))
				m.NoCompression = r.Form.Has("plain")
				_ = s.TryWrite(m) // ignored: the script sees which messages arrive
			}
		}
	case "close":
		for _, s := range srv.Sockets() {
			go func() { _ = s.Close() }() // ends with the server at the latest
			awaitClosing(s)
		}
	}
}

// awaitClosing waits until s is closing, if s polls with revision 4. No event reports this. But a closing session
// rejects the separator with another error than an open session, which reports ErrSeparator.
func awaitClosing(s *engineio.Socket) {
	if s.Revision() != engineio.Revision4 || s.Transport() != engineio.Polling {
		return
	}
	for errors.Is(s.TryWrite(engineio.Text("\x1e")), engineio.ErrSeparator) {
		runtime.Gosched()
	}
}

// waiting is the context of a request. It counts the request from the moment when the handler begins to wait.
type waiting struct {
	context.Context
	count *atomic.Int64
	began bool
}

// Done implements context.Context. The handler of a poll calls it when it has no packet to send.
func (w *waiting) Done() <-chan struct{} {
	if !w.began {
		w.began = true
		w.count.Add(1)
	}
	return w.Context.Done()
}

func (w *waiting) over() {
	if w.began {
		w.count.Add(-1)
	}
}
