package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

func TestNodesListsTheMesh(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--name", "the middle", "--on", "x").is()
	client := spawn(t, nil, "connect", "--addr", hub.url, "--on", "sensor::**", "--on", "greeting").is()

	stdout, stderr, code := execute(t, nil, "nodes", "--addr", hub.url)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	rows := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	require.Len(t, rows, 3)
	require.Regexp(t, `^ROLE +ID +NAME +ADDRESS +SESSION +UP +SEEN +LISTENS TO$`, rows[0])
	require.Regexp(t, `^hub +`+hub.id[:8]+` +"the middle" +127\.0\.0\.1:\d+ +- +\d+s +0s ago +x$`, rows[1])
	require.Regexp(t, `^client +`+client.id[:8]+` +- +127\.0\.0\.1:\d+ +(websocket|polling)/3 +\d+s +\d+s ago +greeting sensor::\*\*$`, rows[2])

	stdout, stderr, code = execute(t, nil, "nodes", "--json", "--addr", hub.url)
	require.Zero(t, code, stderr)
	var ids []string
	for text := range strings.Lines(stdout) {
		var i mesh.NodeInfo
		require.NoError(t, json.Unmarshal([]byte(text), &i))
		ids = append(ids, i.ID)
	}
	require.Equal(t, []string{hub.id, client.id}, ids)
}

func TestNodesWatchesWhoComesAndGoes(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort).is()
	asTable := spawn(t, nil, "nodes", "--watch", "--addr", hub.url)
	asJSON := spawn(t, nil, "nodes", "--watch", "--json", "--addr", hub.url)
	next := func(p *process) string {
		line, ok := p.Next(p.Stdout)
		require.True(t, ok)
		return line
	}
	require.Contains(t, next(asTable), "ROLE")
	require.Contains(t, next(asTable), "hub ")
	require.Contains(t, next(asJSON), `{"joined":true,"node":{"id":"`+hub.id)
	// The two watchers may see each other, and no other node until the guest joins.
	guest := spawn(t, nil, "connect", "--addr", hub.url, "--name", "guest", "--on", "x")
	id := guest.is().id
	until := func(p *process, prefix string) string {
		for {
			if line := next(p); strings.HasPrefix(line, prefix) && strings.Contains(line, "guest") {
				return line
			}
		}
	}
	require.Regexp(t, `^\+ \d\d:\d\d:\d\d `+id[:8]+` guest 127\.0\.0\.1:\d+( listens to x)?$`, until(asTable, "+"))
	until(asJSON, `{"joined":true,"node":{"id":"`+id)
	guest.Interrupt(os.Interrupt)
	require.Regexp(t, `^- \d\d:\d\d:\d\d `+id[:8]+` guest 127\.0\.0\.1:\d+ after \d+s$`, until(asTable, "-"))
	until(asJSON, `{"joined":false,"node":{"id":"`+id)
	asTable.Interrupt(os.Interrupt)
	asJSON.Interrupt(os.Interrupt)
}

func TestExplainSaysWhy(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "x").is()
	client := spawn(t, nil, "connect", "--addr", hub.url, "--name", "lamp", "--on", "light::*").is()
	for _, c := range []struct{ args, want string }{
		{"lamp light::on", client.id[:8] + " (lamp) gets light::on\nlistens: The node subscribes to this event, and no rule prevents its delivery. It listens to light::*.\n"},
		{client.id[:8] + " dark", client.id[:8] + " (lamp) does not get dark\nno-listener: The node subscribes neither to this event nor to a pattern that matches it.\n"},
		{"--from lamp lamp light::on", client.id[:8] + " (lamp) does not get light::on\nsender: A hub sends no event back to the node that emitted it; that node has already called its own listeners.\n"},
		{"hub x", "the hub gets x\nlistens: The node subscribes to this event, and no rule prevents its delivery.\n"},
		{"--json hub y", `{"to":"` + hub.id + `","event":"y","delivered":false,"rule":"no-listener","text":"The node subscribes neither to this event nor to a pattern that matches it."}` + "\n"},
	} {
		stdout, stderr, code := execute(t, nil, append([]string{"explain", "--addr", hub.url}, strings.Fields(c.args)...)...)
		require.Zero(t, code, stderr)
		require.Equal(t, c.want, stdout)
	}
	_, stderr, code := execute(t, nil, "explain", "--addr", hub.url, "nobody", "x")
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: there is no node \"nobody\" in this mesh: 'mesh nodes' lists the nodes\n", stderr)
}

func TestNodesAreFoundByWhatPeopleSee(t *testing.T) {
	all := []mesh.NodeInfo{
		{ID: "aaaa1", Role: mesh.RoleHub}, {ID: "aaaa2", Name: "lamp"}, {ID: "bbbb3", Name: "lamp"}, {ID: "cccc4", Name: "aaaa2"}, {ID: "dddd", Name: "one"},
	}
	for who, want := range map[string]string{"hub": "aaaa1", "aaaa1": "aaaa1", "aaaa2": "aaaa2", "bbbb": "bbbb3", "one": "dddd"} {
		got, err := findNode(all, who)
		require.NoError(t, err, who)
		require.Equal(t, want, got.ID, who)
	}
	_, err := findNode(all, "lamp")
	require.EqualError(t, err, `"lamp" is ambiguous: give the ID of one of them: aaaa2 bbbb3`)
	_, err = findNode(all, "aaaa")
	require.ErrorIs(t, err, errAmbiguous)
	_, err = findNode(all, "bbb")
	require.Error(t, err, "too short to mean an ID")
}

func TestNodesCannotPlayTricksOnTheTerminal(t *testing.T) {
	var b bytes.Buffer
	p := nodePrinter{out: &b, now: time.Now}
	evil := mesh.NodeInfo{ID: "\x1b[2J1234567", Name: "a\nb\x1b]0;x\x07", Role: "hub\x1b[1A\n", Addr: "x\n\x1b[2K", Transport: "\x1b", Interests: []string{"\x1b[31m", "a b", "é", "\u202e"}}
	require.NoError(t, p.list([]mesh.NodeInfo{evil}))
	require.NoError(t, p.printChange(mesh.Presence{Joined: true, Node: evil}))
	p.json = true
	evil.Name += "\u009b2J"
	require.NoError(t, p.list([]mesh.NodeInfo{evil}))
	require.Equal(t, 4, strings.Count(b.String(), "\n"))
	for _, r := range b.String() {
		require.True(t, r == '\n' || r >= ' ' && (r < 0x7f || r > 0x9f) && r != '\u202e', "%q", r)
	}
	var same mesh.NodeInfo
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[3]), &same))
	require.Equal(t, evil.Name, same.Name, "it is the same JSON")
	require.Contains(t, b.String(), "é")
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprint(i))
	}
	require.Equal(t, "0 1 2 3 4 and 7 more", interests(mesh.NodeInfo{Interests: many, More: 3}))
}

// The clock of each hub may be wrong by hours, and by a different amount. Each age is a difference of times of one
// clock.
func TestAgesDoNotCompareClocks(t *testing.T) {
	local := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	for _, wrong := range []time.Duration{0, -3 * time.Hour, 40 * time.Minute, 9000 * time.Hour} {
		var b bytes.Buffer
		now := local
		p := nodePrinter{out: &b, now: func() time.Time { return now }}
		one, two := local.Add(wrong), local.Add(-wrong/2) // the current times of the two hubs' clocks
		require.NoError(t, p.table([]mesh.NodeInfo{
			{ID: "1one", Role: mesh.RoleHub, Since: one.Add(-2 * time.Hour), LastSeen: one},
			{ID: "1lamp", Role: mesh.RoleClient, Hub: "1one", Since: one.Add(-90 * time.Second), LastSeen: one.Add(-7 * time.Second)},
			{ID: "2two", Role: mesh.RoleHub, Since: two.Add(-time.Hour), LastSeen: two},
			{ID: "2lamp", Role: mesh.RoleClient, Hub: "2two", Since: two.Add(-30 * time.Second), LastSeen: two.Add(-5 * time.Second)},
		}))
		rows := strings.Split(b.String(), "\n")
		require.Contains(t, rows[1], " 2h0m ")
		require.Contains(t, rows[1], " 0s ago")
		require.Contains(t, rows[2], " 1m30s ")
		require.Contains(t, rows[2], " 7s ago")
		require.Contains(t, rows[3], " 1h0m ")
		require.Contains(t, rows[4], " 30s ")
		require.Contains(t, rows[4], " 5s ago")

		// Later a third hub joins, and nodes leave.
		b.Reset()
		now = now.Add(10 * time.Second)
		three := now.Add(wrong / 3)
		for _, c := range []struct {
			p    mesh.Presence
			want string
		}{
			{mesh.Presence{Node: mesh.NodeInfo{ID: "2lamp", Role: mesh.RoleClient, Hub: "2two", Since: two.Add(-30 * time.Second)}}, "after 40s"},
			{mesh.Presence{Joined: true, Node: mesh.NodeInfo{ID: "3three", Role: mesh.RoleHub, Since: three.Add(-time.Minute), LastSeen: three}}, "3three"},
			{mesh.Presence{Node: mesh.NodeInfo{ID: "3lamp", Role: mesh.RoleClient, Hub: "3three", Since: three.Add(-time.Second)}}, "after 1s"},
			{mesh.Presence{Node: mesh.NodeInfo{ID: "3three", Role: mesh.RoleHub, Since: three.Add(-time.Minute)}}, "after 1m0s"},
		} {
			b.Reset()
			require.NoError(t, p.printChange(c.p))
			require.Contains(t, b.String(), c.want, "a clock that is wrong by %v", wrong)
		}
	}
}

func TestAgesAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "59s": 59 * time.Second, "1m0s": time.Minute, "2h5m": 125 * time.Minute, "3d4h": 76*time.Hour + 59*time.Minute,
	} {
		require.Equal(t, want, formatAge(d))
	}
}

// TestWhatOthersSayIsInertInATerminal runs a hub in a terminal. It receives events, and has a node, whose names are
// terminal commands.
func TestWhatOthersSayIsInertInATerminal(t *testing.T) {
	w := newTerminal(t)
	title := func() string { return strings.TrimSpace(w.tmux("display-message", "-p", "#{pane_title}")) }
	w.types(`printf '\033]2;obeyed\007'`, "Enter")
	require.Eventually(t, func() bool { return title() == "obeyed" }, patience, 10*time.Millisecond, "this terminal heeds orders")
	w.types(`printf '\033]2;calm\007'`, "Enter")
	w.types(binary+" start --addr 127.0.0.1:0 --on '**'", "Enter")
	addr := hubIn(w.shows("help lists the commands\nmesh>"))

	order := "\x1b]2;obeyed\a\x1b[2J\r\u202e\u009b31m"
	node, err := mesh.Connect(t.Context(), &mesh.Options{Addr: addr, Name: "name" + order})
	require.NoError(t, err)
	defer node.Close()
	node.On("interest"+order, func(mesh.Event) {})
	require.NoError(t, node.Emit("event"+order, "payload"+order))
	require.NoError(t, node.Emit("eventful", 1))
	require.NoError(t, node.Flush(t.Context()))
	w.shows("mesh>", `{"event":"event\u001b]2;obeyed\u0007`, `"eventful"`)
	w.types("events", "Enter")
	w.shows("mesh>", `heard:   "event\x1b]2;obeyed\a\x1b[2J\r\u202e\u009b31m" (1)`)
	w.types("nodes", "Enter")
	w.shows("mesh>", `"name\x1b]2;obeyed`, `"interest\x1b]2;obeyed`)
	w.types("emit event", "Tab")
	w.types("", "Tab")
	w.types("2", "Enter")
	w.shows("mesh>", `{"event":"eventful","payload":2`)
	w.types("emit inter", "Tab", "Tab", "C-u")
	w.types("frobnicate", "Enter")
	w.shows(`unknown command "frobnicate": help lists the commands` + "\nmesh>")
	require.Equal(t, "calm", title())
}

// TestAnAnswerOfAStrangerIsInert connects to a server with an arbitrary response. The command must write the text of
// the response to standard error.
func TestAnAnswerOfAStrangerIsInert(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 400 Bad\r\nContent-Length: 38\r\n\r\n" + `{"code":3,"message":"\u001b]2;x\n\rx"}`,
		"HTTP/1.1 500 \x1b]2;x\a\r\nContent-Length: 7\r\n\r\n\x1b]2;x\a\r",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x1b[2J\n",
		"\x1b]2;x\a\r\n",
		"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}unasked\x1b[2J",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(answer))
				_ = conn.Close()
			}
		}()
		_, stderr, code := execute(t, nil, "nodes", "--addr", l.Addr().String())
		require.NoError(t, l.Close())
		<-done
		require.Equal(t, 1, code)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		require.NotContains(t, strings.TrimSuffix(stderr, "\n"), "\x1b", "%q", stderr)
		require.NotContains(t, stderr, "\r")
	}
}
