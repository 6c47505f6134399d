package main

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const anyPort = "127.0.0.1:0"

func TestStartedNodesHearEachOther(t *testing.T) {
	args := []string{"start", "--on", "myEvent", "--emit", "myEvent", "--data", `{"n":1}`, "--every", "20ms", "--addr"}
	first := spawn(t, nil, append(args, anyPort)...)
	hub := first.is()
	require.Equal(t, "the hub", hub.role)
	running, ids := []*process{first}, []string{hub.id}
	for range 2 {
		p := spawn(t, nil, append(args, hub.url)...)
		n := p.is()
		require.Equal(t, "a client of the hub", n.role)
		require.Equal(t, hub.url, n.url)
		running, ids = append(running, p), append(ids, n.id)
	}
	for _, p := range running {
		for _, id := range ids { // the node's own ID among them
			require.Empty(t, cmp.Diff(line{Event: "myEvent", Payload: []byte(`{"n":1}`), From: id}, p.hearsFrom(id)))
		}
	}
	for i, p := range slices.Backward(running) {
		p.Interrupt([]os.Signal{os.Interrupt, syscall.SIGTERM}[i%2])
	}
}

func TestOnPrintsWhatEmitEmits(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "**").is()
	on := spawn(t, nil, "on", "--addr", hub.url, "--count", "6", "greeting", "*", "a::**")
	on.says("listening to greeting * a::**")
	for _, args := range [][]string{
		{"greeting"},
		{"greeting", `{"text": "é€😀 <b>"}`},
		{"nobody::listens"},
		{"greeting", "[\n 1,\n 2\n]"},
		{"a", "null"},
		{"a::b::c", `"text"`},
		{"greeting", "12345678901234567890.5"},
		{"greeting", `"one too many"`},
	} {
		stdout, stderr, code := execute(t, nil, append([]string{"emit", "--addr", hub.url}, args...)...)
		require.Zero(t, code, stderr)
		require.Empty(t, stdout)
		require.Empty(t, stderr)
	}
	stdout, _, code := on.Wait()
	require.Zero(t, code)
	var heard []string
	for text := range strings.Lines(stdout) {
		before, from, ok := strings.Cut(strings.TrimSuffix(text, "\"}\n"), `,"from":"`)
		require.True(t, ok, text)
		require.Len(t, from, 32)
		heard = append(heard, before)
	}
	require.Empty(t, cmp.Diff([]string{
		`{"event":"greeting","payload":null`,
		`{"event":"greeting","payload":{"text":"é€😀 <b>"}`,
		`{"event":"greeting","payload":[1,2]`,
		`{"event":"a","payload":null`,
		`{"event":"a::b::c","payload":"text"`,
		`{"event":"greeting","payload":12345678901234567890.5`,
	}, heard))
}

func TestEveryRoleEndsWithZeroWhenInterrupted(t *testing.T) {
	listen := spawn(t, nil, "listen", "--addr", anyPort)
	hub := listen.is()
	require.Equal(t, "the hub", hub.role)
	connect := spawn(t, nil, "connect", "--addr", hub.url, "--on", "x")
	require.Equal(t, "a client of the hub", connect.is().role)
	on := spawn(t, nil, "on", "--addr", hub.url, "--count", "1", "x")
	on.says("listening to x")
	for _, p := range []*process{connect, on, listen} {
		p.Interrupt(os.Interrupt)
	}
}

func TestAHubAdmitsOnlyWhoKnowsThePassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("s3cret word\r\n"), 0o600))
	right, wrong := []string{"MESH_PASSWORD=s3cret word"}, []string{"MESH_PASSWORD=guess"}

	listen := spawn(t, right, "listen", "--addr", anyPort, "--user", "ann", "--on", "x", "--log-level", "debug")
	hub := listen.is()
	member := spawn(t, nil, "start", "--addr", hub.url, "--user", "ann", "--password-file", file, "--on", "x", "--log-level", "debug")
	require.Equal(t, "a client of the hub", member.is().role)

	emit := []string{"emit", "x", "1", "--addr", hub.url}
	_, stderr, code := execute(t, nil, emit...)
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: the hub at "+hub.url+" requires a password or token: give --user and --password-file or MESH_PASSWORD; or --token-file or MESH_TOKEN\n", stderr)
	for user, env := range map[string][]string{"ann": wrong, "bob": right} {
		_, stderr, code = execute(t, env, append(emit, "--user", user)...)
		require.Equal(t, 1, code)
		require.Equal(t, "mesh: the hub at "+hub.url+` rejected this node: it has another password for "`+user+`", or does not know that user`+"\n", stderr)
	}
	_, stderr, code = execute(t, wrong, append(emit, "--user", "ann", "--password-file", file)...)
	require.Zero(t, code, "the file comes before the environment: %s", stderr)
	require.Equal(t, "1", string(member.hears().Payload))
	require.Equal(t, "1", string(listen.hears().Payload))

	for _, p := range []*process{member, listen} {
		require.NotContains(t, p.Interrupt(os.Interrupt), "s3cret")
	}
}

func TestAClientOutlivesItsHub(t *testing.T) {
	first := spawn(t, nil, "listen", "--addr", anyPort)
	hub := first.is()
	on := spawn(t, nil, "on", "--addr", hub.url, "--count", "1", "x")
	on.says("listening to x")
	first.Interrupt(os.Interrupt)
	on.says("lost the hub at "+hub.url, "looking for it")

	// A node that reports its reconnection has already sent its subscriptions to the hub.
	spawn(t, nil, "listen", "--addr", hub.url).is()
	on.says("the hub is back, at " + hub.url)
	_, stderr, code := execute(t, nil, "emit", "x", "--addr", hub.url)
	require.Zero(t, code, stderr)
	require.Equal(t, "x", on.hears().Event)
	_, _, code = on.Wait()
	require.Zero(t, code)
}

func TestStandardErrorIsJSONWhenAsked(t *testing.T) {
	listen := spawn(t, nil, "listen", "--addr", anyPort, "--log-format", "json", "--log-level", "debug")
	said := listen.says(`"msg":"this node is the hub`, `"level":"INFO"`, `"role":"hub"`, `"id":"`)
	_, rest, ok := strings.Cut(said, `"url":"`)
	require.True(t, ok)
	address, _, _ := strings.Cut(rest, `"`)
	_, err := url.Parse(address)
	require.NoError(t, err)
	listen.Interrupt(os.Interrupt)

	_, stderr, code := execute(t, nil, "emit", "x", "--addr", address, "--log-format", "json")
	require.Equal(t, 1, code)
	require.True(t, strings.HasPrefix(stderr, `{"time":"`) && strings.Contains(stderr, `"level":"ERROR","msg":"no hub at `), stderr)
}

// silent accepts connections and never writes. It returns its address and a channel with each connection.
func silent(t *testing.T) (addr string, accepted <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", anyPort)
	require.NoError(t, err)
	conns := make(chan net.Conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			conns <- c
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return l.Addr().String(), conns
}

func TestAnInterruptedStartIsNoErrorButAnInterruptedEmitIs(t *testing.T) {
	addr, accepted := silent(t)
	for _, command := range []string{"start", "connect"} {
		p := spawn(t, nil, command, "--addr", addr)
		<-accepted
		require.Empty(t, p.Interrupt(os.Interrupt))
	}
	p := spawn(t, nil, "on", "x", "--addr", addr)
	<-accepted
	require.Empty(t, p.Interrupt(os.Interrupt))

	p = spawn(t, nil, "emit", "x", "--addr", addr)
	<-accepted
	require.NoError(t, p.Cmd.Process.Signal(os.Interrupt))
	_, stderr, code := p.Wait()
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: interrupted before the hub had answered\n", stderr)
}
