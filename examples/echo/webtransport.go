package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/pflag"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/webtransport"
)

// secure holds the flags for TLS. WebTransport needs TLS.
type secure struct {
	webTransport bool
	cert, key    string
}

func (f *secure) register(set *pflag.FlagSet) {
	set.BoolVar(&f.webTransport, "webtransport", false, "serve WebTransport too, on the same port number of UDP; without --cert with\n"+
		"a certificate for 14 days, whose hash is printed for serverCertificateHashes")
	set.StringVar(&f.cert, "cert", "", "`FILE` with a TLS certificate in PEM form, for HTTPS and WebTransport (default: plain HTTP)")
	set.StringVar(&f.key, "key", "", "`FILE` with the certificate's private key in PEM form")
}

// config returns the TLS configuration of --cert and --key, or nil without them.
func (f *secure) config() (*tls.Config, error) {
	if f.cert == "" && f.key == "" {
		return nil, nil
	}
	if f.cert == "" || f.key == "" {
		return nil, errors.New("--cert and --key go together")
	}
	certificate, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("--cert %s --key %s: %w", f.cert, f.key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, nil
}

// serveWebTransport serves on the UDP port with the number of addr until the caller closes the server that it returns.
// If config is nil, it makes a certificate. When the server ends, also after Close, its error goes to failed.
func serveWebTransport(engine *engineio.Server, addr net.Addr, config *tls.Config, out io.Writer, failed chan<- error) (*webtransport.Server, error) {
	if config == nil {
		host, _, _ := net.SplitHostPort(addr.String()) // a TCP address has both
		certificate, hash, err := webtransport.SelfSigned("localhost", host)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}}
		_, _ = fmt.Fprintf(out, "echo: the certificate for WebTransport has the sha-256 hash %s\n", base64.StdEncoding.EncodeToString(hash[:]))
	}
	srv := webtransport.NewServer(engine, &webtransport.ServerOptions{TLSConfig: config})
	go func() { failed <- srv.ListenAndServe(addr.String()) }()
	return srv, nil
}
