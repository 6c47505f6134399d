package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

var (
	errPair       = errors.New("a certificate and its key go together")
	errPlain      = errors.New("the address says http, but there is a certificate: leave the scheme out, or say https")
	errNoPEM      = errors.New("no PEM certificate found")
	errTwoClients = errors.New("excludes HTTPClient: set the trusted certificates in the transport of that client")
)

// serveTLS sets up TLS for a node that is or may become a hub at the first of the addresses, if CertFile and KeyFile
// are set.
func (o *Options) serveTLS(addrs []address) error {
	switch {
	case o.CertFile == "" && o.KeyFile == "":
		return nil
	case o.CertFile == "" || o.KeyFile == "":
		return &OptionError{"CertFile", errPair}
	case !addrs[0].bare && addrs[0].scheme != "https":
		return &OptionError{"Addr", errPlain}
	}
	c := &certificate{certFile: o.CertFile, keyFile: o.KeyFile, log: o.Logger}
	if err := c.load(); err != nil {
		return &OptionError{"CertFile", err}
	}
	for i := range addrs {
		if addrs[i].bare {
			addrs[i].scheme = "https"
		}
	}
	o.tls = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
		NextProtos:     []string{"http/1.1"}, // a WebSocket cannot open in HTTP/2
	}
	return nil
}

// certificate is a pair of files that may be replaced while the hub runs, as for certificates that last a few weeks.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu       sync.Mutex
	current  *tls.Certificate
	modified time.Time // the modification time of the newer file
}

// get returns the certificate in the files, or the last valid one if they have no valid certificate now.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if modified := c.stat(); !modified.Equal(c.modified) {
		if err := c.load(); err != nil {
			c.log.Warn("mesh: the new certificate cannot be used, the hub keeps the old one", "error", err)
			c.modified = modified // log it once
		}
	}
	return c.current
}

// load reads the files. The caller holds c.mu, or no other goroutine uses c yet.
func (c *certificate) load() error {
	modified := c.stat()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err == nil {
		c.current, c.modified = &pair, modified
	}
	return err
}

func (c *certificate) stat() (latest time.Time) {
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}

// trust makes a client trust the authorities of CAFile, if it is set.
func (o *Options) trust() error {
	if o.CAFile == "" {
		return nil
	}
	if o.HTTPClient != nil {
		return &OptionError{"CAFile", errTwoClients}
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return &OptionError{"CAFile", err}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return &OptionError{"CAFile", fmt.Errorf("%s: %w", o.CAFile, errNoPEM)}
	}
	o.roots = roots
	return nil
}

// transport returns the transport for a client's requests; nil if each session makes one for itself.
func (o *Options) transport() *http.Transport {
	if o.roots == nil {
		return nil
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		t = standard.Clone()
	}
	t.TLSClientConfig = &tls.Config{RootCAs: o.roots, MinVersion: tls.VersionTLS12}
	return t
}
