package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// proxyKind is a reverse proxy and its configuration.
type proxyKind struct {
	program string
	config  *template.Template
	files   map[string]string // templates of the files that the proxy needs besides config
	more    []string          // further arguments
	Proxied
}

// Proxied holds the values for the template of a configuration.
type Proxied struct {
	// Choices.
	TLS        bool // towards clients, with HTTP/2 for clients that support it
	NoUpgrade  bool // the proxy does not forward the headers that a WebSocket needs
	Unbuffered bool // the proxy forwards the bodies of requests without buffering them
	KeepAlive  bool // requests of all clients share connections to the backend

	// Set when a proxy starts.
	Listen   string
	Dir      string
	PEM      string // certificate and key
	Backends []string
}

// Port returns the port of Listen.
func (p Proxied) Port() string { return portIn(p.Listen) }

// BackendPort returns the port of the first of Backends.
func (p Proxied) BackendPort() string { return portIn(p.Backends[0]) }

// Root reports whether the test runs as root. Some proxies must not run as root.
func (Proxied) Root() bool { return os.Getuid() == 0 }

func portIn(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// The configurations use no settings beyond those in docs/engineio.md.
var (
	nginx = proxyKind{program: "nginx", config: template.Must(template.New("nginx").Parse(`
daemon off;
master_process off;
pid {{.Dir}}/pid;
error_log {{.Dir}}/error.log;
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	map $http_upgrade $connection_upgrade {
		default upgrade;
		"" "";
	}
	{{if .KeepAlive}}
	upstream backend {
		server {{index .Backends 0}};
		keepalive 32;
	}
	{{end}}
	server {
		listen {{.Listen}}{{if .TLS}} ssl http2{{end}};
		{{if .TLS}}
		ssl_certificate {{.PEM}};
		ssl_certificate_key {{.PEM}};
		{{end}}
		location / {
			proxy_pass http://{{if .KeepAlive}}backend{{else}}{{index .Backends 0}}{{end}};
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header X-Front $server_protocol;
			{{if not .NoUpgrade}}
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			{{else if .KeepAlive}}
			proxy_set_header Connection "";
			{{end}}
			{{if .Unbuffered}}proxy_request_buffering off;{{end}}
		}
	}
}
`))}
	haproxy = proxyKind{program: "haproxy", config: template.Must(template.New("haproxy").Parse(`
global
	noreuseport
defaults
	mode http
	option abortonclose
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout tunnel 1h
frontend front
	bind {{.Listen}}{{if .TLS}} ssl crt {{.PEM}} alpn h2,http/1.1{{end}}
	http-request set-header X-Front HTTP/%[req.ver]
	{{if .NoUpgrade}}http-request del-header Upgrade{{end}}
	default_backend servers
backend servers
	balance roundrobin
	cookie SRV insert indirect nocache
	{{range $i, $b := .Backends}}
	server s{{$i}} {{$b}} cookie s{{$i}}
	{{end}}
`))}
)

func (k proxyKind) with(p Proxied) proxyKind {
	k.Proxied = p
	return k
}

func (k proxyKind) String() string {
	name := k.program
	if k.TLS {
		name += " with TLS and HTTP2"
	}
	if k.NoUpgrade {
		name += " without upgrades"
	}
	if k.KeepAlive {
		name += " with shared connections"
	}
	if k.Unbuffered {
		name += " without buffers"
	}
	return name
}

// proxy is a process in front of one or more servers.
type proxy struct {
	url   string
	cmd   *exec.Cmd
	input io.Closer
	gone  chan struct{} // closed when the process has ended
}

// start runs a proxy in front of backends (host:port). It ends with close, or with t.
func (k proxyKind) start(t testing.TB, backends ...string) (*proxy, error) {
	t.Helper()
	const attempts = 3 // a port that was free may be taken a moment later
	for i := 1; ; i++ {
		p, err := k.try(t, backends)
		if err == nil || i == attempts {
			return p, err
		}
	}
}

func (k proxyKind) try(t testing.TB, backends []string) (*proxy, error) {
	t.Helper()
	dir := t.TempDir()
	k.Listen, k.Dir, k.Backends = localAddr(interoptest.StablePort(t)), dir, backends
	p := &proxy{url: "http://" + k.Listen + "/engine.io/"}
	if k.TLS {
		p.url = "https://" + k.Listen + "/engine.io/"
		k.PEM = filepath.Join(dir, "pem")
		if err := os.WriteFile(k.PEM, loopbackIdentity().both, 0o600); err != nil {
			return nil, err
		}
	}
	how := launches[k.program]
	files := map[string]*template.Template{"config": k.config}
	for name, text := range k.files {
		files[name] = template.Must(template.New(name).Parse(text))
	}
	for name, content := range files {
		var b bytes.Buffer
		if err := content.Execute(&b, k.Proxied); err != nil {
			return nil, err
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			return nil, err
		}
	}
	args := []string{"-c", untilTheEndOfInput, "sh", how.stop, k.program}
	for _, arg := range slices.Concat(how.args, k.more) {
		var b strings.Builder
		if err := template.Must(template.New(arg).Parse(arg)).Execute(&b, k.Proxied); err != nil {
			return nil, err
		}
		args = append(args, b.String())
	}
	p.cmd = exec.Command("sh", args...)
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir) // Caddy writes there
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	var said interoptest.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &said, &said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.gone = make(chan struct{})
	go func() { // close waits for it
		_ = p.cmd.Wait()
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.close()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log")) // nginx's
			t.Logf("%s said:\n%s%s", k, said.String(), log)
		}
	})
	return p, p.await(k.Listen)
}

// await waits until the process listens.
func (p *proxy) await(addr string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(AwaitTimeout); time.Now().Before(end); <-tick.C {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
	}
	p.close()
	return fmt.Errorf("%s does not listen", p.cmd)
}

// close ends the process and waits for it. It may be called again.
func (p *proxy) close() {
	_ = p.input.Close()
	<-p.gone
}

func TestProxyEndsWithItsInput(t *testing.T) {
	t.Parallel()
	for _, k := range []proxyKind{nginx, haproxy} {
		interoptest.Need(t, k.program)
		p, err := k.start(t, "127.0.0.1:1")
		require.NoError(t, err)
		host := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/engine.io/")
		conn, err := net.Dial("tcp", host)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		p.close()
		_, err = net.Dial("tcp", host)
		require.Error(t, err)
	}
}

// identity is a self-signed certificate for 127.0.0.1.
type identity struct {
	tls  tls.Certificate
	pem  string // the certificate alone
	both []byte // with the key
	pool *x509.CertPool
}

var loopbackIdentity = sync.OnceValue(func() identity {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	leaf, err := x509.ParseCertificate(der)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return identity{
		tls:  tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		pem:  string(cert),
		both: append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...),
		pool: pool,
	}
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}
