package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// clusterSecret is the secret that the hubs of a test share.
const clusterSecret = "7e2c19f04b86d35a7e2c19f04b86d35a"

// member is the process of a hub that is one of several.
type member struct {
	*process
	node
	cluster string // the address where other hubs reach it
	base    string // the URL of its web server
}

// joins starts a hub on free ports with the cluster addresses of others. The hub prints the event x.
func joins(t *testing.T, env []string, others []string, args ...string) *member {
	t.Helper()
	return joinsAt(t, env, append([]string{anyPort}, others...), args...)
}

func joinsAt(t *testing.T, env []string, cluster []string, args ...string) *member {
	t.Helper()
	return begins(t, env, cluster, args...).serves()
}

// begins is like joinsAt, but it does not wait until the hub serves.
func begins(t *testing.T, env []string, cluster []string, args ...string) *member {
	t.Helper()
	return &member{process: spawn(t, env, append([]string{"listen", "--addr", anyPort, "--cluster", strings.Join(cluster, ","),
		"--on", "x", "--log-level", "info"}, args...)...)}
}

func (m *member) serves() *member {
	m.t.Helper()
	_, said, _ := strings.Cut(m.says("other hubs reach this one at "), "reach this one at ")
	m.cluster, _, _ = strings.Cut(said, ";")
	m.node = m.is()
	m.base = strings.TrimSuffix(m.url, "/engine.io/")
	return m
}

// emits makes a client emit the event x at the hub.
func (m *member) emits(payload string) {
	m.t.Helper()
	_, stderr, code := execute(m.t, nil, "emit", "x", payload, "--addr", m.url)
	require.Zero(m.t, code, stderr)
}

// hearsAt waits until all of the hubs have printed a payload.
func hearsAt(t *testing.T, payload string, all ...*member) {
	t.Helper()
	for _, m := range all {
		require.Equal(t, payload, string(m.hears().Payload), "at %s", m.cluster)
	}
}

// eventually waits for a condition that no output shows.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

func TestThreeHubsAreThreeCommands(t *testing.T) {
	t.Parallel() // it waits for a timer
	one := joins(t, nil, nil, "--name", "one", "--metrics", "/metrics")
	two := joins(t, nil, []string{one.cluster}, "--name", "two", "--metrics", "/metrics")
	three := joins(t, nil, []string{one.cluster}, "--name", "three", "--metrics", "/metrics") // it learns of two from one
	hubs := []*member{one, two, three}
	for i, m := range hubs {
		m.knows("2")
		m.emits(fmt.Sprint(i))
		hearsAt(t, fmt.Sprint(i), hubs...)
		status, body := get(t, http.MethodGet, m.base+"/readyz", "", "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok\n", body)
	}

	lamp := spawn(t, nil, "connect", "--addr", one.url, "--name", "lamp", "--on", "light::*").is()
	watch := spawn(t, nil, "nodes", "--watch", "--addr", three.url)
	stdout, stderr, code := execute(t, nil, "nodes", "--addr", two.url)
	require.Zero(t, code, stderr)
	rows := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Regexp(t, `^ROLE +HUB +ID +NAME `, rows[0])
	require.Regexp(t, `^hub +- +`+two.id[:8]+` +two `, rows[1], "the hub that replies comes first")
	require.Regexp(t, `(?m)^hub +- +`+one.id[:8]+` +one `, stdout)
	require.Regexp(t, `(?m)^hub +- +`+three.id[:8]+` +three `, stdout)
	require.Regexp(t, `(?m)^client +one +`+lamp.id[:8]+` +lamp .* light::\*$`, stdout)
	for _, c := range []struct{ args, want string }{
		{"lamp light::on", lamp.id[:8] + " (lamp) gets light::on\nlistens: "},
		{"--from lamp three x", "the hub " + three.id[:8] + " (three) gets x\nlistens: "},
		{"hub x", "the hub gets x\nlistens: "},
		{"lamp x", lamp.id[:8] + " (lamp) does not get x\nno-listener: "},
	} {
		stdout, stderr, code = execute(t, nil, append([]string{"explain", "--addr", two.url}, strings.Fields(c.args)...)...)
		require.Zero(t, code, stderr)
		require.True(t, strings.HasPrefix(stdout, c.want), stdout)
	}
	until := func(pattern string) {
		t.Helper()
		for {
			line, ok := watch.Next(watch.Stdout)
			require.True(t, ok)
			if strings.Contains(line, pattern) {
				return
			}
		}
	}
	until("lamp") // of present nodes
	_, body := get(t, http.MethodGet, one.base+"/metrics", "", "")
	for _, line := range []string{
		"mesh_hubs 2", "mesh_backplane_up 1", "mesh_hub_events_received_total 2", `mesh_nats_dropped_total{direction="in"} 0`, "mesh_nats_disconnects_total 0",
	} {
		require.Contains(t, body, "\n"+line+"\n")
	}

	// The test interrupts one hub, which then leaves, and kills another one, which the others then miss.
	two.Interrupt(syscall.SIGTERM)
	for _, m := range []*member{one, three} {
		m.says("another hub is gone", two.id, "closed")
	}
	until(" hub " + two.id[:8] + " two ")
	require.NoError(t, three.Cmd.Process.Kill())
	one.says("another hub is gone", three.id, "silence")
	one.emits(`"alone"`)
	hearsAt(t, `"alone"`, one)
	status, _ := get(t, http.MethodGet, one.base+"/readyz", "", "")
	require.Equal(t, http.StatusOK, status)

	again := joinsAt(t, nil, []string{three.cluster, one.cluster}, "--name", "again")
	one.says("another hub has joined", again.id)
	again.emits(`"again"`)
	hearsAt(t, `"again"`, one, again)
	one.Interrupt(os.Interrupt)
	again.Interrupt(os.Interrupt)
}

// A hub serves once it knows the other hubs' subscriptions, however slow the connection is. So they receive its first
// event.
func TestWhatAHubEmitsFirstIsHeardByTheOthers(t *testing.T) {
	secret := []string{"MESH_CLUSTER_SECRET=" + clusterSecret}
	one := joins(t, secret, nil)
	two := joins(t, secret, []string{delayed(t, one.cluster)}, "--emit", "x", "--data", `"first"`, "--every", "1h")
	hearsAt(t, `"first"`, two, one)
}

// delayed returns an address that forwards to addr, with a delay before each connection is established.
func delayed(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", anyPort)
	require.NoError(t, err)
	var accepting, copying sync.WaitGroup
	var conns []net.Conn // of the accepting goroutine, until it has ended
	accepting.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			time.Sleep(300 * time.Millisecond) // the delay
			far, err := net.Dial("tcp", addr)
			if err != nil {
				_ = near.Close()
				continue
			}
			conns = append(conns, near, far)
			copying.Go(func() { _, _ = io.Copy(near, far) })
			copying.Go(func() { _, _ = io.Copy(far, near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
		copying.Wait()
	})
	return l.Addr().String()
}

func TestHubsOfAClusterNeedItsSecret(t *testing.T) {
	t.Parallel() // it waits for a timer
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(clusterSecret+"\n"), 0o600))
	one := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, nil)
	two := joins(t, nil, []string{one.cluster}, "--cluster-secret-file", file)
	require.NotContains(t, two.Seen.String(), "can read")
	two.emits("1")
	hearsAt(t, "1", one, two)

	for _, c := range []struct {
		env  []string
		args []string
	}{
		{[]string{"MESH_CLUSTER_SECRET=0" + clusterSecret}, nil},
		{nil, []string{"--cluster-secret-file", file, "--cluster-name", "other"}}, // the name is part of the key
	} {
		stranger := begins(t, c.env, []string{anyPort, one.cluster}, c.args...)
		stranger.says("not joined", one.cluster, errOtherSecret.Error())
		stranger.serves().emits("2")
		hearsAt(t, "2", stranger)
		stranger.Interrupt(os.Interrupt)
	}
	one.says("not joined", errTheirSecret.Error())
	two.emits("3")
	hearsAt(t, "3", one, two) // and never the 2 of a stranger
	plain := joins(t, nil, []string{one.cluster})
	plain.emits("4")
	hearsAt(t, "4", plain)
	two.emits("5")
	hearsAt(t, "5", one, two)

	// The logs of a hub with a secret and a hub without one about each other, and of the hubs of two meshes.
	for _, c := range []struct {
		env            []string
		args           []string
		theirs, ofThem error
	}{
		{[]string{"MESH_CLUSTER_SECRET=" + clusterSecret}, nil, errNoSecret, errNoHub},
		{nil, []string{"--cluster-name", "other"}, errOtherMesh, errOtherMesh},
	} {
		open := joins(t, nil, nil)
		stranger := begins(t, c.env, []string{anyPort, open.cluster}, c.args...)
		stranger.says("not joined", open.cluster, c.theirs.Error())
		open.says("WARN", "not joined", c.ofThem.Error())
	}

	// Clients with older versions of TLS.
	for version := uint16(tls.VersionTLS10); version < tls.VersionTLS13; version++ {
		_, err := tls.Dial("tcp", one.cluster, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		require.ErrorContains(t, err, "remote error: tls: protocol version not supported")
	}

	// Certificates whose key is not derived from the secret.
	cert, key := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	for _, certs := range [][]tls.Certificate{nil, {pair}} {
		conn, err := tls.Dial("tcp", one.cluster, &tls.Config{InsecureSkipVerify: true, Certificates: certs})
		if err == nil { // in TLS 1.3 the first read returns the rejection
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, conn.Close())
		}
		require.ErrorContains(t, err, "remote error: tls: ")
	}
}

// The server has no address for clients of NATS. It waits for the other hubs that reply, and for no others.
func TestTheEmbeddedServer(t *testing.T) {
	b := &embedded{own: anyPort, others: []string{"127.0.0.1:1", "127.0.0.1:2"}}
	b.name, b.logger = "mesh", slog.New(slog.DiscardHandler)
	log := &natsLog{logger: b.logger}
	s, err := b.start(strings.Repeat("a", 32), log)
	require.NoError(t, err)
	defer stop(s)
	require.Nil(t, s.Addr())
	require.NotNil(t, s.ClusterAddr())
	require.False(t, s.JetStreamEnabled())
	require.Nil(t, s.MonitorAddr())
	nc, err := nats.Connect("", nats.InProcessServer(s))
	require.NoError(t, err)
	defer nc.Close()
	began := time.Now()
	require.NoError(t, b.awaitOthers(s, nc, log))
	require.Equal(t, 2, log.unreachableHubs())
	interoptest.RequireTakes(t, awaitTimeout, time.Since(began), "it does not wait for the hubs that do not reply")
}

// If nodes start with the same flags on one machine, their hub is a member of the cluster, whichever node it is.
func TestANodeThatTakesOverFromAHubJoinsTheOthers(t *testing.T) {
	far := joins(t, nil, nil)
	own := fmt.Sprintf("127.0.0.1:%d", interoptest.StablePort(t))
	args := []string{"start", "--on", "x", "--log-level", "info", "--cluster", own + "," + far.cluster, "--addr"}
	first := spawn(t, nil, append(args, anyPort)...)
	hub := first.is()
	require.Equal(t, "the hub", hub.role)
	second := spawn(t, nil, append(args, hub.url)...)
	require.Equal(t, "a client of the hub", second.is().role)
	far.emits("1")
	require.Equal(t, "1", string(second.hears().Payload))

	require.NoError(t, first.Cmd.Process.Kill())
	second.says("this node is the hub now")
	far.says("another hub has joined") // the first node
	far.says("another hub has joined")
	far.emits("2")
	require.Equal(t, "2", string(second.hears().Payload))
	hearsAt(t, "1", far)
	hearsAt(t, "2", far)
}

// hostile is a misbehaving connection to a hub's cluster address.
type hostile struct {
	name string
	do   func(c net.Conn)
}

// assault opens misbehaving connections, each several times, and returns when the hub has ended all of them.
func assault(t *testing.T, addr string, all []hostile) {
	t.Helper()
	const each = 5
	type end struct {
		name string
		took time.Duration
		err  error
	}
	ends := make(chan end)
	for _, h := range all {
		for range each {
			go func() {
				began := time.Now()
				err := h.run(addr)
				ends <- end{h.name, time.Since(began), err}
			}()
		}
	}
	for range each * len(all) {
		e := <-ends
		require.NotErrorIs(t, e.err, os.ErrDeadlineExceeded, e.name)
		interoptest.RequireTakes(t, 8*time.Second, e.took, e.name)
	}
}

// run returns the error that ended the connection, or nil after an orderly end.
func (h hostile) run(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return os.ErrDeadlineExceeded
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	h.do(c)
	_, err = io.Copy(io.Discard, c)
	return err
}

func sends(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(text)) } // the hub may have ended it already
}

// beforeAuthentication holds bytes of strangers that never authenticate. None of them harms a NATS server.
var beforeAuthentication = []hostile{
	{"a message of a route", sends("CONNECT {}\r\nRMSG $G x 1\r\n1\r\n")},
	{"INFO again", sends(strings.Repeat("INFO {}\r\n", 3))},
	{"no CONNECT first", sends("PING\r\nPUB x 1\r\n1\r\n")},
	{"a line without an end", func(c net.Conn) { // 256 KB, four times the limit of a line
		_, _ = c.Write([]byte("CONNECT {\"x\":\"" + strings.Repeat("x", 256<<10))) // fails if the hub has closed the connection
	}},
	{"a request of the web", sends("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
	{"random bytes", sends("\x00\xff\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	{"a TLS record that never ends", sends("\x16\x03\x01\x40\x00\x01")},
	{"a greeting of 16 MB", func(c net.Conn) {
		record := []byte("\x16\x03\x01\x40\x00" + "\x01\xff\xff\xff" + strings.Repeat("\x00", 1<<14-4))
		for range 1 << 10 {
			if _, err := c.Write(record); err != nil {
				return
			}
		}
	}},
	{"a greeting byte by byte", func(c net.Conn) {
		for b := []byte("\x16\x03\x01\x40\x00" + strings.Repeat("\x01", 1<<14)); ; b = b[1:] {
			if _, err := c.Write(b[:1]); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // one byte in each 20 ms
		}
	}},
	{"a line byte by byte", func(c net.Conn) {
		for b := []byte("CONNECT {\"x\":\"" + strings.Repeat("x", 1<<14)); ; b = b[1:] {
			if _, err := c.Write(b[:1]); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}},
}

// A stranger without the secret sends anything to the cluster address. The hubs continue.
// Advisories: CVE-2026-27889, CVE-2026-29785, CVE-2026-33218, CVE-2026-33219, secnote 2026-16, secnote 2026-19,
// secnote 2026-24
func TestStrangersAtTheClusterAddress(t *testing.T) {
	t.Parallel() // it waits for a timer
	one := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, nil)
	two := joins(t, []string{"MESH_CLUSTER_SECRET=" + clusterSecret}, []string{one.cluster})
	assault(t, one.cluster, append(beforeAuthentication, hostile{"nothing", func(net.Conn) {}}))
	two.emits("1")
	hearsAt(t, "1", one, two)
}

// Without a secret, on one machine, the NATS server itself reads a stranger's bytes.
// Advisories: CVE-2026-27889, CVE-2026-29785, CVE-2026-33218, CVE-2026-33219, secnote 2026-16, secnote 2026-19,
// secnote 2026-24
func TestStrangersOnThisMachine(t *testing.T) {
	t.Parallel() // it waits for a timer
	one := joins(t, nil, nil)
	two := joins(t, nil, []string{one.cluster})
	assault(t, one.cluster, append(beforeAuthentication, hostile{"nothing", func(net.Conn) {}}))
	two.emits("1")
	hearsAt(t, "1", one, two)
}
