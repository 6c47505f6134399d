package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

func TestBenchMeasuresARunningHub(t *testing.T) {
	env := []string{"MESH_PASSWORD=s3cret \" word"}
	hub := spawn(t, env, "listen", "--addr", anyPort, "--user", "ann", "--on", "**").is()
	args := []string{"bench", "--addr", hub.url, "--user", "ann", "--publishers", "2", "--subscribers", "3", "--rate", "100",
		"--duration", "500ms", "--transports", "websocket,polling,upgrade"}
	stdout, stderr, code := execute(t, env, append(args, "--json")...)
	require.Zero(t, code, stderr)
	var got benchReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	host := strings.TrimSuffix(strings.TrimPrefix(hub.url, "http://"), "/engine.io/")
	require.Empty(t, cmp.Diff(benchReport{
		Hub: "go", Address: host, Publishers: 2, Subscribers: 3, Transports: []string{"websocket", "polling", "upgrade"},
		Size: 128, Rate: 100, Sent: 50, Received: 150,
	}, got, cmpopts.IgnoreFields(benchReport{}, "Seconds", "SentPerSecond", "ReceivedPerSecond", "Latency")))
	require.Positive(t, got.Latency.P50)
	require.LessOrEqual(t, got.Latency.P99, got.Latency.Max)
	require.GreaterOrEqual(t, got.Seconds, 0.5)

	stdout, stderr, code = execute(t, env, args...)
	require.Zero(t, code, stderr)
	require.Equal(t, "mesh: load on the hub at "+host+", for 500ms; Ctrl-C ends it\n", stderr, "no bar where no terminal is")
	require.Regexp(t, `(?m)^ +sent +50 +\d+ *$`, stdout)
	require.Regexp(t, `(?m)^ +received +150 +\d+ *$`, stdout)
	require.Regexp(t, `(?m)^ +missing +0 *$`, stdout)
	require.Regexp(t, `(?m)^ +latency( +[\d.]+ ms){4} *$`, stdout)

	_, stderr, code = execute(t, []string{"MESH_PASSWORD=guess"}, args...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "rejected this node", "and not as many deliveries as are missing")
}

func TestBenchPresentsAToken(t *testing.T) {
	env := []string{"MESH_TOKEN=s3cret"}
	url := spawn(t, env, "listen", "--addr", anyPort).is().url
	stdout, stderr, code := execute(t, env, "bench", "--json", "--addr", url, "--duration", "200ms", "--rate", "100", "--subscribers", "2",
		"--transports", "websocket,polling")
	require.Zero(t, code, stderr)
	var got benchReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, 40, got.Received)
}

func TestBenchEndsWithWhatItHasWhenInterrupted(t *testing.T) {
	url := spawn(t, nil, "listen", "--addr", anyPort).is().url
	p := spawn(t, nil, "bench", "--addr", url, "--duration", "1h", "--json", "--rate", "0", "--subscribers", "2")
	p.says("load on the hub")
	// The load's connections are the hub's only other peers: an event that arrives here shows that the load has begun.
	on := spawn(t, nil, "on", "--addr", url, "--count", "1", "*")
	require.True(t, strings.HasPrefix(on.hears().Event, "bench-"))
	require.NoError(t, p.Cmd.Process.Signal(os.Interrupt))
	stdout, stderr, code := p.Wait()
	require.Zero(t, code, stderr)
	var got benchReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.True(t, got.Interrupted)
	require.Positive(t, got.Received)
	require.Less(t, got.Seconds, patience.Seconds())
}

func TestBenchTellsWhenTheHubGoes(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "*")
	url := hub.is().url
	p := spawn(t, nil, "bench", "--addr", url, "--duration", "1h", "--subscribers", "2", "--rate", "50")
	require.True(t, strings.HasPrefix(hub.hears().Event, "bench-"))
	require.NoError(t, hub.Cmd.Process.Kill())
	stdout, stderr, code := p.Wait()
	require.Equal(t, 1, code)
	require.Regexp(t, `[1-3] of 3 connections broke`, stderr)
	require.Contains(t, stdout, "latency")
}

func TestBenchHasABarOnATerminal(t *testing.T) {
	url := spawn(t, nil, "listen", "--addr", anyPort).is().url
	w := newTerminal(t)
	w.types(binary+" bench --duration 1h --addr "+url, "Enter")
	w.shows(" received", "% [", "s of 1h0m0s, ")
	w.types("", "C-c")
	screen := w.shows("shell>", "latency", "p99")
	require.NotContains(t, screen, "% [", "the bar is gone")
}

func TestBenchPackets(t *testing.T) {
	for _, nodeHub := range []bool{false, true} {
		p := newPackets(100, &mesh.Options{User: `a"b`, Password: "c\\d"}, nodeHub)
		for _, number := range []int64{0, 1, 3_600_000_000_000} {
			text := p.append(nil, number)
			var packet struct {
				Event   string
				Payload json.RawMessage
				Headers struct {
					Auth *struct{ User, Password string }
				}
			}
			require.NoError(t, json.Unmarshal(text, &packet))
			require.Len(t, packet.Payload, 100)
			require.Equal(t, nodeHub, packet.Headers.Auth != nil, "a Node.js hub needs them in every packet")
			got, ok := p.number(text)
			require.True(t, ok)
			require.Equal(t, number, got)
			// The form in which a hub delivers it.
			got, ok = p.number([]byte(strings.Replace(string(text), `"}`, `","id":"x"}`, 1)))
			require.True(t, ok)
			require.Equal(t, number, got)
		}
		for _, text := range []string{"", "{}", p.subscribe, p.head, p.head + "x" + payloadFill} {
			_, ok := p.number([]byte(text))
			require.False(t, ok, text)
		}
		require.Len(t, p.append(nil, 3_600_000_000_000), len(p.append(nil, 1)))
	}
	small := newPackets(minSize, &mesh.Options{}, false)
	require.Len(t, small.append(nil, maxDuration.Nanoseconds()), len(small.append(nil, 1)), "the least size holds the longest time")
}
