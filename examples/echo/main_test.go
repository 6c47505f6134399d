package main_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// bin is the path of the command, built for these tests.
var bin string

func TestMain(m *testing.M) { interoptest.Main(m, &bin) }

// start starts the server on a free port and returns its URL and a function that ends it with a signal. The server must
// then exit with 0.
func start(t testing.TB, args ...string) (url string, end func(os.Signal)) {
	t.Helper()
	url, _, end = startProcess(t, args...)
	return url, end
}

// startProcess is like start and also returns the process ID.
func startProcess(t testing.TB, args ...string) (url string, pid int, end func(os.Signal)) {
	t.Helper()
	url, _, pid, end = startLines(t, 1, args...)
	return url, pid, end
}

// startLines is like startProcess and also returns the rest of the first n lines.
func startLines(t testing.TB, n int, args ...string) (url string, rest []string, pid int, end func(os.Signal)) {
	t.Helper()
	cmd := exec.Command(bin, append([]string{"--addr", "127.0.0.1:0"}, args...)...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	require.NoError(t, cmd.Start())
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	lines := bufio.NewScanner(stderr)
	require.True(t, lines.Scan(), "the server says where it listens")
	url, ok := strings.CutPrefix(lines.Text(), "echo: listening on ")
	require.True(t, ok, lines.Text())
	for range n - 1 {
		require.True(t, lines.Scan())
		rest = append(rest, lines.Text())
	}
	return url, rest, cmd.Process.Pid, func(sig os.Signal) {
		require.NoError(t, cmd.Process.Signal(sig))
		for lines.Scan() {
		}
		err := cmd.Wait()
		ended = true
		require.NoError(t, err)
		require.Empty(t, stdout.String())
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestEchoesOnEveryTransport(t *testing.T) {
	both := []engineio.Revision{engineio.Revision3, engineio.Revision4}
	cases := []struct {
		name      string
		args      []string
		revisions []engineio.Revision
		opts      engineio.DialOptions
		ends      engineio.Transport
		signal    os.Signal
	}{
		{name: "polling", opts: engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}},
			args: []string{"--revisions", "3,4"}, revisions: both, ends: engineio.Polling, signal: os.Interrupt},
		{name: "websocket", opts: engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}},
			args: []string{"--revisions", "3,4"}, revisions: both, ends: engineio.WebSocket, signal: syscall.SIGTERM},
		{name: "upgrade",
			args: []string{"--revisions", "3,4"}, revisions: both, ends: engineio.WebSocket, signal: os.Interrupt},
		{name: "defaults are revision 4 only",
			revisions: both[1:], ends: engineio.WebSocket, signal: os.Interrupt},
		{name: "path and limits",
			args: []string{"--path", "/deep/down/", "--ping-interval", "100ms", "--ping-timeout=10s", "--max-payload", "700000",
				"--upgrade-timeout", "5s", "--transports", "polling", "--transports", "websocket"},
			revisions: both[1:], ends: engineio.WebSocket, signal: os.Interrupt},
		{name: "compression", opts: engineio.DialOptions{PerMessageDeflate: true},
			args: []string{"--compress", "--revisions", "3,4"}, revisions: both, ends: engineio.WebSocket, signal: os.Interrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			url, end := start(t, c.args...)
			ctx := testContext(t)
			for _, rev := range c.revisions {
				c.opts.Revision = rev
				s, err := engineio.Dial(ctx, url, &c.opts)
				require.NoError(t, err)
				defer func() { require.NoError(t, s.Close()) }()
				for _, m := range []engineio.Message{
					engineio.Text("hello"), engineio.Text("é€😀"), engineio.Binary([]byte{0, 1, 255}), engineio.Binary(make([]byte, 500_000)),
				} {
					require.NoError(t, s.Write(ctx, m))
					got, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, m.Binary, got.Binary)
					require.True(t, bytes.Equal(m.Data, got.Data))
				}
				// The test cannot wait for the end of an upgrade, but it can echo until the upgrade is complete.
				for n := 0; s.Transport() != c.ends; n++ {
					m := fmt.Sprint("still polling ", n)
					require.NoError(t, s.Write(ctx, engineio.Text(m)))
					got, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, m, string(got.Data))
				}
				gone := make(chan error, 1)
				defer func() {
					err := <-gone
					var closed *engineio.CloseError
					require.ErrorAs(t, err, &closed)
					require.Equal(t, engineio.ReasonTransportClose, closed.Reason)
					require.True(t, closed.Remote)
				}()
				go func() { _, err := s.Read(ctx); gone <- err }()
			}
			end(c.signal)
		})
	}
}

func TestAnswersOnlyWhatTheFlagsAllow(t *testing.T) {
	handshake := "?EIO=4&transport=polling"
	cases := []struct {
		name   string
		args   []string
		query  string
		origin string
		status int
		body   string
		allow  string
		cookie string
	}{
		{name: "revision 3 by default", query: "?EIO=3&transport=polling", status: 400, body: "Unsupported protocol version"},
		{name: "a transport left out", args: []string{"--transports", "websocket"}, query: handshake, status: 400, body: "Transport unknown"},
		{name: "a foreign page by default", query: handshake, origin: "https://example.com", status: 403, body: "Forbidden"},
		{name: "a foreign page that is not named", args: []string{"--cors", "https://example.com"}, query: handshake,
			origin: "https://example.org", status: 403, body: "Forbidden"},
		{name: "a foreign page that is named", args: []string{"--cors", "https://example.org,https://example.com"}, query: handshake,
			origin: "https://example.com", status: 200, body: `"upgrades":["websocket"]`, allow: "https://example.com"},
		{name: "any page", args: []string{"--cors", "*"}, query: handshake,
			origin: "https://example.com", status: 200, body: `"sid"`, allow: "*"},
		{name: "the defaults of the reference", query: handshake, status: 200,
			body: `"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`},
		{name: "other numbers", args: []string{"--ping-interval", "300ms", "--ping-timeout", "200ms", "--max-payload", "99"}, query: handshake,
			status: 200, body: `"pingInterval":300,"pingTimeout":200,"maxPayload":99}`},
		{name: "a cookie", args: []string{"--cookie", "sticky"}, query: handshake, status: 200, body: `"sid"`,
			cookie: `^sticky=[A-Za-z0-9_-]{24}; Path=/; HttpOnly; SameSite=Lax$`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a server with a session that no client polls takes time to end
			url, end := start(t, c.args...)
			r, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url+c.query, nil)
			require.NoError(t, err)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			r.Close = true
			answer, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			var body bytes.Buffer
			_, err = body.ReadFrom(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, c.status, answer.StatusCode)
			require.Contains(t, body.String(), c.body)
			require.Equal(t, c.allow, answer.Header.Get("Access-Control-Allow-Origin"))
			require.Regexp(t, cmp.Or(c.cookie, "^$"), answer.Header.Get("Set-Cookie"))
			end(os.Interrupt)
		})
	}
}

// With the flag, the server agrees on compression with clients that offer it.
func TestCompress(t *testing.T) {
	const extension = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	for want, args := range map[string][]string{"": nil, extension: {"--compress"}} {
		url, end := start(t, args...)
		r, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url+"?EIO=4&transport=websocket", nil)
		require.NoError(t, err)
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions": "permessage-deflate",
		} {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
		require.Equal(t, want, answer.Header.Get("Sec-WebSocket-Extensions"))
		require.NoError(t, answer.Body.Close())
		end(os.Interrupt)
	}
}

func TestRefusesBadFlags(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"revision":         {[]string{"--revisions", "4,5"}, "echo: --revisions 5: there is no such revision here, only 3 and 4\n"},
		"no revision":      {[]string{"--revisions", ""}, "echo: --revisions and --transports must name at least one each\n"},
		"transport":        {[]string{"--transports", "carrier-pigeon"}, "echo: --transports carrier-pigeon: there is no such transport here, only polling and websocket; see --webtransport\n"},
		"duration":         {[]string{"--ping-interval", "5"}, `echo: invalid argument "5" for "--ping-interval" flag: time: missing unit in duration "5" (--help lists the flags)` + "\n"},
		"negative":         {[]string{"--ping-timeout", "-5s"}, "echo: --ping-timeout -5s: it must be at least 1ms\n"},
		"payload":          {[]string{"--max-payload", "0"}, "echo: --max-payload 0: it must be at least 1\n"},
		"path":             {[]string{"--path", "engine.io"}, `echo: --path "engine.io": it must start with a slash and name something, as /engine.io does` + "\n"},
		"origin":           {[]string{"--cors", "example.com"}, "echo: --cors: \"example.com\": an origin is a scheme and a host, such as https://example.com; * admits every page, null those in files\n"},
		"cert alone":       {[]string{"--cert", "cert.pem"}, "echo: --cert and --key go together\n"},
		"no cert there":    {[]string{"--cert", "no.pem", "--key", "no.pem"}, "echo: --cert no.pem --key no.pem: open no.pem: no such file or directory\n"},
		"cookie":           {[]string{"--cookie", "a b"}, `echo: --cookie "a b": no cookie can have this name` + "\n"},
		"argument":         {[]string{"loud"}, `echo: unexpected argument "loud" (--help lists the flags)` + "\n"},
		"unknown flag":     {[]string{"--loud"}, "echo: unknown flag: --loud (--help lists the flags)\n"},
		"address not ours": {[]string{"--addr", "nowhere"}, "echo: listen tcp: address nowhere: missing port in address\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(testContext(t), bin, c.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.Equal(t, c.want, stderr.String())
			require.Empty(t, stdout.String())
		})
	}
}

func TestHelpNamesEveryFlagWithItsDefault(t *testing.T) {
	out, err := exec.CommandContext(testContext(t), bin, "--help").Output()
	require.NoError(t, err)
	for flag, def := range map[string]string{
		"addr": `"localhost:3000"`, "path": `"/engine.io"`, "revisions": "4", "ping-interval": "25s", "ping-timeout": "20s",
		"upgrade-timeout": "10s", "max-payload": "1000000", "transports": "polling,websocket",
	} {
		require.Regexp(t, `(?m)^ +--`+flag+` .*\(default `+def+`\)$`, string(out))
	}
	require.Contains(t, string(out), "--cors ORIGIN")
	require.Contains(t, string(out), "--compress ")
	require.Contains(t, string(out), "--cookie NAME")
}
