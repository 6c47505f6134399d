package engineio

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// ProxyError reports that a request failed that the HTTP client sent through a forward proxy. Unreachable reports
// whether the proxy or the server caused the failure.
type ProxyError struct {
	// Proxy is the proxy's scheme, host and port. It is empty if the variable does not hold a URL.
	Proxy string
	// Variable is the environment variable that names the proxy. It is empty if the HTTP client's transport names the
	// proxy.
	Variable string
	// Unreachable is true if there was no connection to the proxy.
	Unreachable bool
	// Err is the cause.
	Err error
}

func (e *ProxyError) Error() string { return e.via() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

func (e *ProxyError) via() string {
	switch {
	case e.Variable == "":
		return fmt.Sprintf("through the proxy %s of the HTTP client", e.Proxy)
	case e.Proxy == "":
		return "through the proxy that " + e.Variable + " names"
	}
	return fmt.Sprintf("through the proxy %s, which %s names", e.Proxy, e.Variable)
}

var errProxyURL = errors.New("the value is no URL of a proxy")

// proxyOf describes the proxy through which the HTTP client sends r. It returns nil if the client uses no proxy for r.
func (c *client) proxyOf(r *http.Request) *ProxyError {
	t, ok := c.http.Transport.(*http.Transport)
	if c.http.Transport == nil {
		t, ok = http.DefaultTransport.(*http.Transport)
	}
	if !ok || t.Proxy == nil {
		return nil
	}
	u, err := t.Proxy(r)
	if err != nil { // the error's text may contain a password
		return &ProxyError{Variable: proxyVariable(r.URL.Scheme, ""), Unreachable: true, Err: errProxyURL}
	}
	if u == nil {
		return nil
	}
	return &ProxyError{Proxy: (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), Variable: proxyVariable(r.URL.Scheme, u.Host)}
}

// proxyVariable returns the variable from which http.ProxyFromEnvironment takes the proxy of a scheme, if its value
// contains the host.
func proxyVariable(scheme, host string) string {
	upper := strings.ToUpper(scheme) + "_PROXY"
	for _, name := range []string{upper, strings.ToLower(upper)} {
		if value := os.Getenv(name); value != "" && strings.Contains(value, host) {
			return name
		}
	}
	return ""
}

// blameProxy adds the proxy to the error of a request.
func (c *client) blameProxy(r *http.Request, err error) error {
	p := c.proxyOf(r)
	if p == nil {
		return err
	}
	op, ok := errors.AsType[*net.OpError](err)
	p.Unreachable = p.Unreachable || ok && op.Op == "proxyconnect"
	if p.Err == nil {
		p.Err = err
	}
	return p
}
