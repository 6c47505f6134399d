package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

const quoteHint = "\nPut JSON in single quotes, so that the shell leaves its double quotes alone: '{\"n\":1}' or '\"text\"'"

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	inUse := taken.Addr().String()
	t.Cleanup(func() { _ = taken.Close() })
	nobody := fmt.Sprintf("127.0.0.1:%d", interoptest.StablePort(t))
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)

	cases := []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{name: "no hub", args: []string{"emit", "x", "--addr", nobody},
			want: "no hub at " + nobody + ": no program listens there. Start a hub there with 'mesh start --addr " + nobody + "', or give the hub's address with --addr"},
		{name: "no hub to listen to", args: []string{"on", "x", "--addr", nobody},
			want: "no hub at " + nobody + ": no program listens there. Start a hub there with 'mesh start --addr " + nobody + "', or give the hub's address with --addr"},
		{name: "no hub at any of several", args: []string{"connect", "--addr", nobody + ",none.invalid:1," + web.URL},
			want: "no hub at " + nobody + " (no program listens there), nor at none.invalid:1 (there is no such host), nor at " +
				strings.TrimPrefix(web.URL, "http://") + " (the server is not a hub: 404 page not found)"},
		{name: "a port alone", args: []string{"emit", "x", "--addr", "18930"}, want: "--addr 18930 is a port without a host: did you mean localhost:18930?"},
		{name: "a host alone", args: []string{"emit", "x", "--addr", "127.0.0.77"},
			want: "no hub at 127.0.0.77:8888: no program listens there. Start a hub there with 'mesh start --addr 127.0.0.77:8888', or give the hub's address with --addr"},
		{name: "no address", args: []string{"emit", "x", "--addr", ""}, want: "--addr is empty: give it a value, or leave it out"},
		{name: "neither address nor URL", args: []string{"emit", "x", "--addr", "a:b:c"}, want: "--addr: the address is neither host:port nor a URL"},
		{name: "several for a hub", args: []string{"listen", "--addr", "a:1,b:2"},
			want: "--addr a:1,b:2: a hub has one address; 'mesh start' and clients take several: 'mesh connect', 'mesh on', 'mesh emit'"},
		{name: "several with a bad one", args: []string{"on", "x", "--addr", "a:1,b:http"},
			want: "--addr b:http: the port must be a number up to 65535"},
		{name: "something else answers", args: []string{"start", "--addr", web.URL},
			want: "the server at " + web.URL + " is not a hub (404 page not found): check --addr, and its path if it is a URL"},
		{name: "address in use", args: []string{"listen", "--addr", inUse},
			want: inUse + " is in use: 'mesh connect' joins the hub there, 'mesh start' listens or connects, whichever works, --addr takes another address"},
		{name: "address of another machine", args: []string{"listen", "--addr", "192.0.2.1:8888"},
			want: "192.0.2.1:8888 is not an address of this machine: check --addr"},
		{name: "port", args: []string{"listen", "--addr", "localhost:http"},
			want: "--addr localhost:http: the port must be a number up to 65535"},
		{name: "scheme", args: []string{"on", "x", "--addr", "ftp://localhost"}, want: `--addr: unknown scheme "ftp"`},
		{name: "credentials in the address", args: []string{"emit", "x", "--addr", "http://ann:s3cret@localhost"},
			want: "--addr must not have a user or password in it: give --user, and the password by --password-file or MESH_PASSWORD"},
		{name: "a password with a comma in the address", args: []string{"emit", "x", "--addr", "http://ann:s3cret,s3cret@localhost:x"},
			want: "--addr must not have a user or password in it: give --user, and the password by --password-file or MESH_PASSWORD"},
		{name: "a hub with TLS", args: []string{"start", "--addr", "https://localhost"},
			want: "--addr https://localhost: a hub needs --cert and --key for TLS; or let it listen on http:// behind a proxy with TLS; 'mesh connect' takes https://"},
		{name: "no password", args: []string{"listen", "--user", "ann"},
			want: "--user needs a password: write it to a file and give --password-file FILE, or set MESH_PASSWORD"},
		{name: "a certificate without a key", args: []string{"listen", "--cert", empty}, want: "--cert and --key go together: give both"},
		{name: "a file that is no certificate", args: []string{"listen", "--cert", empty, "--key", empty},
			want: "--cert: tls: failed to find any PEM data in certificate input"},
		{name: "no certificate there", args: []string{"listen", "--addr", anyPort, "--cert", empty + "0", "--key", empty + "0"},
			want: "--cert: open " + empty + "0: no such file or directory"},
		{name: "no key there", args: []string{"listen", "--addr", anyPort, "--cert", empty, "--key", empty + "0"},
			want: "--key: open " + empty + "0: no such file or directory"},
		{name: "no authorities there", args: []string{"emit", "x", "--ca", empty + "0"}, want: "--ca: open " + empty + "0: no such file or directory"},
		{name: "an invalid origin", args: []string{"listen", "--allow-origin", "example.com"},
			want: `--allow-origin: "example.com": an origin is a scheme and a host, such as https://example.com; * admits every page, null those in files`},
		{name: "a file without authorities", args: []string{"emit", "x", "--ca", empty}, want: "--ca: " + empty + ": no PEM certificate found"},
		{name: "TLS on an http address", args: []string{"listen", "--addr", "http://localhost:1", "--cert", empty, "--key", empty},
			want: "--addr: the address says http, but there is a certificate: leave the scheme out, or say https"},
		{name: "a token with a space", env: []string{"MESH_TOKEN=a b"}, args: []string{"listen"},
			want: "the token: only visible ASCII characters are possible, at most 8192 of them"},
		{name: "no token file", args: []string{"listen", "--token-file", empty}, want: "--token-file: " + empty + " is empty: write the token into it"},
		{name: "no user", env: []string{"MESH_PASSWORD=x"}, args: []string{"listen"},
			want: "there is a password, but no user: give --user too"},
		{name: "empty password file", args: []string{"listen", "--user", "ann", "--password-file", empty},
			want: "--password-file: " + empty + " is empty: write the password into it"},
		{name: "empty password file, but a variable", env: []string{"MESH_PASSWORD=x"}, args: []string{"listen", "--user", "ann", "--password-file", empty},
			want: "--password-file: " + empty + " is empty: write the password into it"},
		{name: "no password file", args: []string{"listen", "--user", "ann", "--password-file", empty + "0"},
			want: "--password-file: open " + empty + "0: no such file or directory"},
		{name: "no --password flag", args: []string{"listen", "--password", "x"},
			want: "unknown flag: --password; 'mesh listen --help' lists the flags"},
		{name: "bad JSON", args: []string{"emit", "x", `{"n":1,}`}, want: "bad JSON at byte 8: expected a key\n  {\"n\":1,}\n         ^" + quoteHint},
		{name: "unquoted text", args: []string{"emit", "x", "hello"}, want: "bad JSON at byte 1: expected a JSON value\n  hello\n  ^" + quoteHint},
		{name: "JSON for nothing", args: []string{"start", "--data", "1"}, want: "--data needs an event to emit: give --emit EVENT too"},
		{name: "JSON of --data", args: []string{"start", "--emit", "x", "--data", "[1"}, want: "--data: bad JSON at byte 3: unexpected end of JSON\n  [1\n    ^" + quoteHint},
		{name: "pattern of --emit", args: []string{"start", "--emit", "a::*"}, want: `--emit: event "a::*": name has an asterisk, which only a listener may use`},
		{name: "JSON in pieces", args: []string{"emit", "x", "{a:", "1}"},
			want: "emit takes an event and one JSON value, but got 3 arguments; put the JSON in single quotes"},
		{name: "reserved name", args: []string{"emit", "mesh::x"}, want: `event "mesh::x": name is reserved`},
		{name: "pattern to emit", args: []string{"emit", "a::*"}, want: `event "a::*": name has an asterisk, which only a listener may use`},
		{name: "bad pattern", args: []string{"on", "a*"}, want: `listener "a*": asterisk is not a whole part of the pattern`},
		{name: "bad pattern of a node", args: []string{"start", "--on", "$x"}, want: `--on: listener "$x": name is reserved`},
		{name: "no event to emit", args: []string{"emit"}, want: "emit needs the name of an event"},
		{name: "no event to hear", args: []string{"on"}, want: "on needs the name of an event; '**' means every event"},
		{name: "negative count", args: []string{"on", "--count", "-1", "x"}, want: "--count -1: it must not be negative"},
		{name: "no number", args: []string{"on", "--count", "few", "x"}, want: `invalid argument "few" for "--count" flag: invalid syntax; 'mesh on --help' lists the flags`},
		{name: "no time between emits", args: []string{"start", "--emit", "x", "--every", "0s"}, want: "--every 0s: it must be longer than 0s"},
		{name: "log level", args: []string{"version", "--log-level", "loud"}, want: `--log-level "loud": choose debug, info, warn or error`},
		{name: "log format", args: []string{"version", "--log-format", "xml"}, want: `--log-format "xml": choose text or json`},
		{name: "metrics at no path", args: []string{"start", "--metrics", "metrics"}, want: "--metrics metrics: it must begin with a slash"},
		{name: "metrics at a pattern", args: []string{"listen", "--metrics", "/{x}"}, want: "--metrics /{x}: it must be a plain path, such as /metrics"},
		{name: "metrics where the hub is", args: []string{"listen", "--metrics", "/engine.io/x"},
			want: "--metrics /engine.io/x: the hub itself answers there: take another path, such as /metrics"},
		{name: "metrics in place of the health", args: []string{"listen", "--metrics", "/healthz"},
			want: "--metrics /healthz: the hub itself answers there: take another path, such as /metrics"},
		{name: "metrics where the hub is elsewhere", args: []string{"listen", "--addr", "http://localhost/chat/", "--metrics", "/chat"},
			want: "--metrics /chat: the hub itself answers there: take another path, such as /metrics"},
		{name: "metrics at an address in use", args: []string{"listen", "--addr", "127.0.0.1:0", "--metrics-addr", inUse},
			want: "--metrics-addr " + inUse + " is in use: take another one"},
		{name: "metrics at a port alone", args: []string{"listen", "--addr", anyPort, "--metrics-addr", "18973"},
			want: "--metrics-addr 18973: give host:port, such as localhost:18973"},
		{name: "metrics at a host alone", args: []string{"connect", "--metrics-addr", "localhost"},
			want: "--metrics-addr localhost: give host:port, such as localhost:9100"},
		{name: "metrics of a client at its hub", args: []string{"connect", "--metrics", "/metrics"},
			want: "unknown flag: --metrics; 'mesh connect --help' lists the flags"},
		{name: "no publishers", args: []string{"bench", "--publishers", "0"}, want: "--publishers 0: take 1 to 1000"},
		{name: "too many subscribers", args: []string{"bench", "--subscribers", "1000000"}, want: "--subscribers 1000000: take 1 to 20000"},
		{name: "no rate", args: []string{"bench", "--rate", "NaN"}, want: "--rate NaN: take up to 1000000 events a second, or 0 for as fast as subscribers read"},
		{name: "negative rate", args: []string{"bench", "--rate", "-1"}, want: "--rate -1: take up to 1000000 events a second, or 0 for as fast as subscribers read"},
		{name: "payload that holds no time", args: []string{"bench", "--size", "1"}, want: "--size 1: take 64 to 500000 bytes"},
		{name: "no time", args: []string{"bench", "--duration", "1ms"}, want: "--duration 1ms: take 100ms to 1h0m0s"},
		{name: "no event in that time", args: []string{"bench", "--duration", "1s", "--rate", "0.5"}, want: "--rate 0.5: this is less than one event in 1s"},
		{name: "too many deliveries", args: []string{"bench", "--rate", "100000", "--subscribers", "1000"},
			want: "--rate 100000 to 1000 subscribers is 100000000 deliveries a second: take at most 20000000"},
		{name: "too many bytes", args: []string{"bench", "--rate", "1000", "--size", "500000", "--subscribers", "100"},
			want: "--rate 1000 of 500000 bytes to 100 subscribers is 50 GB a second: take at most 8"},
		{name: "no such transport", args: []string{"bench", "--transports", "websocket,pigeon"},
			want: `--transports "pigeon": choose among websocket, polling and upgrade, separated by commas`},
		{name: "no hub to put under load", args: []string{"bench", "--addr", nobody},
			want: "no hub at " + nobody + ": no program listens there. Start a hub there with 'mesh start --addr " + nobody + "', or give the hub's address with --addr"},
		{name: "two backplanes", args: []string{"listen", "--cluster", "localhost:0", "--nats", "nats://localhost"},
			want: "--cluster starts a NATS server, --nats or MESH_NATS names an existing one: give one of the two"},
		{name: "two backplanes, one in the environment", env: []string{"MESH_NATS=nats://localhost"}, args: []string{"start", "--cluster", "localhost:0"},
			want: "--cluster starts a NATS server, --nats or MESH_NATS names an existing one: give one of the two"},
		{name: "cluster without a port", args: []string{"listen", "--cluster", "localhost:0,one"},
			want: "--cluster one: give host:port, such as one.example.com:6222"},
		{name: "cluster with a URL", args: []string{"listen", "--cluster", "nats://localhost:6222"},
			want: "--cluster nats://localhost:6222: give host:port, such as one.example.com:6222"},
		{name: "cluster with an invalid port", args: []string{"listen", "--cluster", "localhost:0,localhost:0"},
			want: "--cluster localhost:0: the port must be a number up to 65535"},
		{name: "cluster of several machines without a secret", args: []string{"listen", "--cluster", ":6222,192.0.2.1:6222"},
			want: "hubs on several machines need a secret: make one with 'openssl rand -hex 32', write it to a file on all of them, and give --cluster-secret-file FILE or set MESH_CLUSTER_SECRET"},
		{name: "short secret", env: []string{"MESH_CLUSTER_SECRET=short"}, args: []string{"listen", "--cluster", ":0"},
			want: "the secret of the cluster is too short: take at least 16 characters, such as those of 'openssl rand -hex 32'"},
		{name: "secret for nothing", args: []string{"listen", "--cluster-secret-file", empty},
			want: "--cluster-secret-file is for --cluster: give the addresses of the hubs too"},
		{name: "empty secret file", args: []string{"listen", "--cluster", "localhost:0", "--cluster-secret-file", empty},
			want: "--cluster-secret-file: " + empty + " is empty: write the cluster-secret into it"},
		{name: "cluster address in use", args: []string{"listen", "--addr", "127.0.0.1:0", "--cluster", inUse},
			want: "--cluster " + inUse + " is in use: is there another hub? Take another port"},
		{name: "cluster address of another machine", env: []string{"MESH_CLUSTER_SECRET=0123456789abcdef"}, args: []string{"listen", "--addr", "127.0.0.1:0", "--cluster", "192.0.2.1:6222"},
			want: "--cluster 192.0.2.1:6222 is not an address of this machine: its own address comes first; 0.0.0.0:6222 means all its addresses"},
		{name: "cluster address of an unknown name", env: []string{"MESH_CLUSTER_SECRET=0123456789abcdef"}, args: []string{"listen", "--addr", "127.0.0.1:0", "--cluster", "one.invalid:6222"},
			want: "--cluster one.invalid:6222: this machine has no address of that name: its own address comes first; 0.0.0.0:6222 means all its addresses"},
		{name: "empty cluster", args: []string{"listen", "--cluster", ""}, want: "--cluster is empty: give it a value, or leave it out"},
		{name: "empty name of a secret file", args: []string{"start", "--cluster", "localhost:0", "--cluster-secret-file", ""},
			want: "--cluster-secret-file is empty: give it a value, or leave it out"},
		{name: "empty NATS", args: []string{"listen", "--nats", ""}, want: "--nats is empty: give it a value, or leave it out"},
		{name: "cluster name", args: []string{"listen", "--cluster-name", "a.b"}, want: `--cluster-name "a.b": take up to 64 letters, digits, - and _`},
		{name: "cluster of a client", args: []string{"connect", "--cluster", "localhost:0"}, want: "unknown flag: --cluster; 'mesh connect --help' lists the flags"},
		{name: "password in --nats", args: []string{"listen", "--nats", "nats://ann:s3cret@localhost"},
			want: "--nats must not have a user or password in it, which others could read: set the environment variable MESH_NATS to the URL, or give --nats-creds FILE"},
		{name: "no URL in --nats", args: []string{"listen", "--nats", "localhost:4222"}, want: "--nats: give a URL such as nats://nats.example.com:4222, or tls:// for TLS"},
		{name: "no URL in MESH_NATS", env: []string{"MESH_NATS=nats://ann:s3c%zzret@localhost"}, args: []string{"listen"},
			want: "MESH_NATS: give a URL such as nats://nats.example.com:4222, or tls:// for TLS"},
		{name: "other scheme in --nats", args: []string{"listen", "--nats", "http://localhost"}, want: "--nats: the scheme of a URL must be nats, tls, ws or wss"},
		{name: "no credentials", args: []string{"listen", "--nats", "nats://localhost", "--nats-creds", empty + "0"},
			want: "--nats-creds: stat " + empty + "0: no such file or directory"},
		{name: "credentials for nothing", args: []string{"listen", "--nats-creds", empty}, want: "--nats-creds is for --nats: give the URL of the NATS server too"},
		{name: "credentials for a cluster", args: []string{"listen", "--cluster", "localhost:0", "--nats-creds", empty},
			want: "--nats-creds is for --nats: --cluster has --cluster-secret-file"},
		{name: "metrics in place of the readiness", args: []string{"listen", "--metrics", "/readyz"},
			want: "--metrics /readyz: the hub itself answers there: take another path, such as /metrics"},
		{name: "typing error", args: []string{"emti", "x"}, want: `unknown command "emti"; is it 'mesh emit'?`},
		{name: "completion for no shell", args: []string{"completion", "foo"},
			want: `completion does not know the shell "foo": choose bash, zsh, fish or powershell`},
		{name: "unknown command", args: []string{"dance"}, want: `unknown command "dance"; 'mesh --help' lists the commands`},
		{name: "argument of a node", args: []string{"start", "now"}, want: `unexpected argument "now"; 'mesh start --help' lists the flags`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := execute(t, c.env, c.args...)
			require.Equal(t, "mesh: "+c.want+"\n", stderr)
			require.Empty(t, stdout)
			require.Equal(t, 1, code)
		})
	}
}

func TestBadJSONIsShownAroundTheFault(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"far inside":  {`"` + strings.Repeat("a", 50) + "\t" + strings.Repeat("b", 50), "  " + strings.Repeat("a", 30) + " " + strings.Repeat("b", 29) + "\n  " + strings.Repeat(" ", 30) + "^"},
		"after runes": {`{"é€😀":1 2}`, "  {\"é€😀\":1 2}\n  " + strings.Repeat(" ", 9) + "^"},
		"runes cut":   {strings.Repeat("é", 40), "  " + strings.Repeat("é", 15) + "\n  ^"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseEvent("x", c.data, true)
			require.ErrorContains(t, withQuotingHint(err), "\n"+c.want+"\nPut JSON in single quotes")
		})
	}
}

func TestWhatIsNoHubIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no answer": {context.DeadlineExceeded, "no hub at here: no answer within 15s. Is it the right --addr?"},
		"an answer that is not HTTP": {&url.Error{Op: "Get", URL: "http://here/engine.io/?t=1", Err: errors.New("malformed HTTP response")},
			"no hub at here: malformed HTTP response. Is it the right --addr?"},
	} {
		t.Run(name, func(t *testing.T) {
			err := friendlyError(fmt.Errorf("mesh: connect to here: %w", c.err), &mesh.Options{Addr: "here"})
			require.EqualError(t, err, c.want)
		})
	}
}

func TestVersionSaysWhatTheBinaryWasBuiltFrom(t *testing.T) {
	stdout, stderr, code := execute(t, nil, "version")
	require.Zero(t, code)
	require.Empty(t, stderr)
	require.Regexp(t, `^mesh \S+( \(.*\))?, go\S+, \w+/\w+\n$`, stdout)

	require.Regexp(t, `^mesh v1\.2\.3 \(commit abc, modified\), go`, version(&debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	}))
	require.Regexp(t, `^mesh, go`, version(nil))
}
