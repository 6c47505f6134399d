package interop

import (
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// launch says how to run a proxy in the foreground with the configuration of a test.
type launch struct {
	args []string // templates of Proxied
	stop string   // the signal that ends the proxy and its workers
}

// untilTheEndOfInput runs a proxy until the test closes its input, so that no proxy outlives a test that panics.
const untilTheEndOfInput = `stop=$1; shift; "$@" & proxy=$!; cat; kill -$stop $proxy; wait $proxy`

var launches = map[string]launch{
	"nginx":          {[]string{"-c", "{{.Dir}}/config", "-p", "{{.Dir}}", "-e", "{{.Dir}}/error.log"}, "KILL"},
	"haproxy":        {[]string{"-f", "{{.Dir}}/config", "-db"}, "KILL"},
	"apache2":        {[]string{"-X", "-f", "{{.Dir}}/config"}, "KILL"}, // one process
	"caddy":          {[]string{"run", "--config", "{{.Dir}}/config", "--adapter", "caddyfile"}, "KILL"},
	"varnishd":       {[]string{"-F", "-j", "none", "-a", "{{.Listen}}", "-f", "{{.Dir}}/config", "-n", "{{.Dir}}/work", "-s", "malloc,16m"}, "TERM"},
	"lighttpd":       {[]string{"-D", "-f", "{{.Dir}}/config"}, "KILL"},
	"h2o":            {[]string{"-m", "worker", "-c", "{{.Dir}}/config"}, "KILL"},
	"traffic_server": {[]string{"--run-root={{.Dir}}/runroot.yaml"}, "KILL"},
	"hitch":          {[]string{"--config={{.Dir}}/config"}, "TERM"},
}

// deployedProxy is a proxy of docs/deployment.md other than nginx and HAProxy.
type deployedProxy struct {
	program  string
	language string   // of its blocks on the page
	names    []string // pairs of a text of the page and its replacement in a test
	plain    []string // more such pairs, for a proxy without TLS
	tls      []bool   // the values of TLS to test
	before   string   // the lines of Debian's own configuration that the page relies on
}

var deployedProxies = []deployedProxy{
	{program: "apache2", tls: []bool{true, false}, language: "apache",
		names: []string{"*:443", "{{.Listen}}", "ServerName example.com", "ServerName 127.0.0.1", "10.0.0.1:8888", "{{index .Backends 0}}",
			"/etc/ssl/example.pem", "{{.PEM}}", "/etc/ssl/example.key", "{{.PEM}}"},
		plain: []string{"\tSSLEngine on\n", "", "\tSSLCertificateFile {{.PEM}}\n", "", "\tSSLCertificateKeyFile {{.PEM}}\n", ""},
		before: `
ServerRoot {{.Dir}}
DefaultRuntimeDir {{.Dir}}
PidFile {{.Dir}}/pid
ErrorLog {{.Dir}}/error.log
User www-data
Group www-data
{{range $m := .Modules}}
LoadModule {{$m}}_module /usr/lib/apache2/modules/mod_{{$m}}.so
{{end}}
Listen {{.Listen}}
`},
	{program: "caddy", tls: []bool{true, false}, language: "caddy",
		names:  []string{"example.com", "https://{{.Listen}}", "10.0.0.1:8888", "{{index .Backends 0}}\n\ttls {{.PEM}} {{.PEM}}"},
		plain:  []string{"https://", "http://", "\ttls {{.PEM}} {{.PEM}}", ""},
		before: "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"},
	{program: "varnishd", tls: []bool{false}, language: "vcl",
		names: []string{"10.0.0.1", "127.0.0.1", "8888", "{{.BackendPort}}"}},
	{program: "lighttpd", tls: []bool{true, false}, language: "lighttpd",
		names: []string{"/etc/ssl/example.pem", "{{.PEM}}", "/etc/ssl/example.key", "{{.PEM}}", `":443"`, `"{{.Listen}}"`, "10.0.0.1", "127.0.0.1", "8888", "{{.BackendPort}}"},
		plain: []string{`, "mod_openssl"`, "", "\tssl.engine = \"enable\"\n\tssl.pemfile = \"{{.PEM}}\"\n\tssl.privkey = \"{{.PEM}}\"\n", ""},
		before: `
server.document-root = "{{.Dir}}"
server.errorlog = "{{.Dir}}/error.log"
server.bind = "{{.Dir}}/socket"
`},
	{program: "h2o", tls: []bool{true, false}, language: "yaml",
		names: []string{"port: 443", "host: 127.0.0.1\n  port: {{.Port}}", "/etc/ssl/example.pem", "{{.PEM}}", "/etc/ssl/example.key", "{{.PEM}}",
			"10.0.0.1:8888", "{{index .Backends 0}}"},
		plain: []string{"  ssl:\n    certificate-file: {{.PEM}}\n    key-file: {{.PEM}}\n", ""}},
	{program: "traffic_server", tls: []bool{true, false}, language: "trafficserver",
		names: []string{"443:ssl", "{{.Port}}:ip-in=127.0.0.1:ssl", "example.com", "127.0.0.1:{{.Port}}", "10.0.0.1:8888", "{{index .Backends 0}}", "/etc/ssl/example.pem", "{{.PEM}}", "/etc/ssl/example.key", "{{.PEM}}"},
		plain: []string{":ssl", "", "map https:", "map http:", "map wss:", "map ws:"}},
	{program: "hitch", tls: []bool{true}, language: "hitch",
		names:  []string{`host = "*"; port = "443"`, `host = "127.0.0.1"; port = "{{.Port}}"`, "[10.0.0.1]:8888", "[127.0.0.1]:{{.BackendPort}}", "/etc/ssl/example.pem", "{{.PEM}}"},
		before: "daemon = off\nworkers = 1\n{{if .Root}}user = \"nobody\"\n{{end}}"},
}

// Modules lists the modules that Apache loads. Debian builds further modules in.
func (p Proxied) Modules() []string {
	modules := []string{"mpm_event", "authz_core", "proxy", "proxy_http"}
	if p.TLS {
		modules = append(modules, "ssl")
	}
	return modules
}

// kind returns the proxy with the configuration on the page, changed by the pairs of other.
func (d deployedProxy) kind(t *testing.T, tls bool, other ...string) proxyKind {
	t.Helper()
	shown := blocks(t, deployment, d.language)
	pairs := slices.Clone(d.names)
	if !tls {
		pairs = append(pairs, d.plain...)
	}
	pairs = append(pairs, other...)
	text := strings.Join(shown, separator)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, text, pairs[i])
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	shown = strings.Split(text, separator)
	k := proxyKind{program: d.program, Proxied: Proxied{TLS: tls}, files: map[string]string{}}
	if d.program == "traffic_server" {
		k.files["etc/records.config"] = shown[0] + "CONFIG proxy.config.admin.user_id STRING #-1\n"
		k.files["etc/remap.config"], k.files["etc/ssl_multicert.config"] = shown[1], shown[2]
		k.files["etc/ip_allow.yaml"] = "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.0/8\n    action: allow\n    methods: ALL\n"
		k.files["runroot.yaml"] = trafficServerLayout
		for _, empty := range []string{"etc/storage.config", "etc/plugin.config", "run/empty", "log/empty", "cache/empty"} {
			k.files[empty] = ""
		}
		text = ""
	}
	k.config = template.Must(template.New(d.program).Parse(d.before + text))
	return k
}

const separator = "\x00"

const trafficServerLayout = `
prefix: {{.Dir}}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/bin
sysconfdir: {{.Dir}}/etc
datadir: /usr/share/trafficserver
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {{.Dir}}/run
runtimedir: {{.Dir}}/run
logdir: {{.Dir}}/log
cachedir: {{.Dir}}/cache
`

// inEachRun lists the proxies of which every run tests one cell: .ci/run installs them. The other proxies need
// INTEROP=full.
var inEachRun = []string{"nginx", "haproxy", "apache2", "lighttpd"}

// needProxy skips t unless this run tests the proxy. If this run does, needProxy is like Need.
func needProxy(t *testing.T, program string) {
	t.Helper()
	if !interoptest.Full() && !slices.Contains(inEachRun, program) {
		t.Skipf("%s runs with INTEROP=full only", program)
	}
	interoptest.Need(t, program)
}
