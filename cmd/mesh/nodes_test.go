package main

import (
	"bytes"
	"encoding/json"
	"fmt"
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
		line, ok := p.next(p.stdout)
		require.True(t, ok)
		return line
	}
	require.Contains(t, next(asTable), "ROLE")
	require.Contains(t, next(asTable), "hub ")
	require.Contains(t, next(asJSON), `{"joined":true,"node":{"id":"`+hub.id)
	// The two may see each other, and nobody else until the guest comes.
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
	guest.interrupt(os.Interrupt)
	require.Regexp(t, `^- \d\d:\d\d:\d\d `+id[:8]+` guest 127\.0\.0\.1:\d+ after \d+s$`, until(asTable, "-"))
	until(asJSON, `{"joined":false,"node":{"id":"`+id)
	asTable.interrupt(os.Interrupt)
	asJSON.interrupt(os.Interrupt)
}

func TestExplainSaysWhy(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "x").is()
	client := spawn(t, nil, "connect", "--addr", hub.url, "--name", "lamp", "--on", "light::*").is()
	for _, c := range []struct{ args, want string }{
		{"lamp light::on", client.id[:8] + " (lamp) gets light::on\nlistens: The node listens to this event, and nothing keeps it from it. It listens to light::*.\n"},
		{client.id[:8] + " dark", client.id[:8] + " (lamp) does not get dark\nno-listener: The node listens neither to this event nor to a pattern that matches it.\n"},
		{"--from lamp lamp light::on", client.id[:8] + " (lamp) does not get light::on\nsender: A hub sends no event back to the node that emitted it; that node's own listeners have heard it without the hub.\n"},
		{"hub x", "the hub gets x\nlistens: The node listens to this event, and nothing keeps it from it.\n"},
		{"--json hub y", `{"to":"` + hub.id + `","event":"y","delivered":false,"rule":"no-listener","text":"The node listens neither to this event nor to a pattern that matches it."}` + "\n"},
	} {
		stdout, stderr, code := execute(t, nil, append([]string{"explain", "--addr", hub.url}, strings.Fields(c.args)...)...)
		require.Zero(t, code, stderr)
		require.Equal(t, c.want, stdout)
	}
	_, stderr, code := execute(t, nil, "explain", "--addr", hub.url, "nobody", "x")
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: there is no node \"nobody\" in this mesh: 'mesh nodes' lists those that there are\n", stderr)
}

func TestNodesAreFoundByWhatPeopleSee(t *testing.T) {
	all := []mesh.NodeInfo{
		{ID: "aaaa1", Role: mesh.Hub}, {ID: "aaaa2", Name: "lamp"}, {ID: "bbbb3", Name: "lamp"}, {ID: "cccc4", Name: "aaaa2"}, {ID: "dddd", Name: "one"},
	}
	for who, want := range map[string]string{"hub": "aaaa1", "aaaa1": "aaaa1", "aaaa2": "aaaa2", "bbbb": "bbbb3", "one": "dddd"} {
		got, err := find(all, who)
		require.NoError(t, err, who)
		require.Equal(t, want, got.ID, who)
	}
	_, err := find(all, "lamp")
	require.EqualError(t, err, `"lamp" is ambiguous: give the ID of one of them: aaaa2 bbbb3`)
	_, err = find(all, "aaaa")
	require.ErrorIs(t, err, errAmbiguous)
	_, err = find(all, "bbb")
	require.Error(t, err, "too short to mean an ID")
}

func TestNodesCannotPlayTricksOnTheTerminal(t *testing.T) {
	var b bytes.Buffer
	p := nodePrinter{out: &b, now: time.Now}
	evil := mesh.NodeInfo{ID: "\x1b[2J1234567", Name: "a\nb\x1b]0;x\x07", Role: mesh.Client, Transport: "\x1b", Interests: []string{"\x1b[31m", "a b", "é", "\u202e"}}
	require.NoError(t, p.list([]mesh.NodeInfo{evil}))
	require.NoError(t, p.change(mesh.Presence{Joined: true, Node: evil}))
	require.Equal(t, 3, strings.Count(b.String(), "\n"))
	for _, r := range b.String() {
		require.True(t, r == '\n' || r >= ' ' && r != 0x7f && r != '\u202e', "%q", r)
	}
	require.Contains(t, b.String(), "é")
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprint(i))
	}
	require.Equal(t, "0 1 2 3 4 and 7 more", interests(mesh.NodeInfo{Interests: many, More: 3}))
}

func TestAgesAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "59s": 59 * time.Second, "1m0s": time.Minute, "2h5m": 125 * time.Minute, "3d4h": 76*time.Hour + 59*time.Minute,
	} {
		require.Equal(t, want, age(d))
	}
}
