package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// friendlyError adds a remedy to an error of a node, for new users of the command. It returns other errors unchanged.
func friendlyError(err error, opts *mesh.Options) error {
	explained := friendlyCause(err, opts)
	var (
		proxy    *engineio.ProxyError
		redirect *engineio.RedirectError
	)
	if strings.Contains(opts.Addr, ",") {
		return explained // noHubAtAny names the proxy of each address
	}
	if errors.As(err, &redirect) && !strings.Contains(explained.Error(), redirect.To) {
		explained = fmt.Errorf("%w (%s redirects to %s)", explained, opts.Addr, redirect.To)
	}
	switch {
	case !errors.As(err, &proxy):
	case proxy.Unreachable:
		return fmt.Errorf("%s. If the hub needs no proxy, add its host to NO_PROXY", unreachableProxy(proxy))
	case !strings.Contains(explained.Error(), proxy.Proxy):
		return fmt.Errorf("%w (the request went through %s)", explained, proxyName(proxy))
	}
	return explained
}

// unreachableProxy returns the reason why there is no connection to a forward proxy.
func unreachableProxy(p *engineio.ProxyError) string {
	var dns *net.DNSError
	why := p.Err.Error()
	switch {
	case errors.Is(p, syscall.ECONNREFUSED):
		why = "the connection was refused"
	case errors.As(p, &dns) && dns.IsNotFound:
		why = fmt.Sprintf("there is no host called %q", dns.Name)
	case errors.Is(p, context.DeadlineExceeded):
		why = "no answer"
	}
	return fmt.Sprintf("cannot reach %s: %s", proxyName(p), why)
}

func proxyName(p *engineio.ProxyError) string {
	switch {
	case p.Variable == "":
		return "the proxy " + p.Proxy
	case p.Proxy == "":
		return "the proxy that " + p.Variable + " names"
	}
	return fmt.Sprintf("the proxy %s, which %s names", p.Proxy, p.Variable)
}

// friendlyCause explains an error and ignores the proxies and redirects on the way.
func friendlyCause(err error, opts *mesh.Options) error {
	var (
		refused   *mesh.AuthError
		handshake *engineio.HandshakeError
		dns       *net.DNSError
		request   *url.Error
		untrusted x509.UnknownAuthorityError
		cluster   *clusterError
		file      *fs.PathError
	)
	addr, several := opts.Addr, strings.Contains(opts.Addr, ",")
	if several {
		addr = "one of " + addr
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &cluster):
		return cluster
	case errors.As(err, &refused) && opts.User == "" && opts.Token != "":
		return fmt.Errorf("the hub at %s rejected this node: it requires another token", addr)
	case errors.As(err, &refused) && opts.User == "" && opts.Token == "":
		return fmt.Errorf("the hub at %s requires a password or token: give --user and --password-file or %s; or --token-file or %s", addr, passwordVariable, tokenVariable)
	case errors.As(err, &refused):
		return fmt.Errorf("the hub at %s rejected this node: it has another password for %q, or does not know that user", addr, opts.User)
	case several && errors.As(err, new(*mesh.DialError)):
		return noHubAtAny(err, opts.Addr)
	case errors.As(err, &file) && file.Path != "" && file.Path == opts.CAFile:
		return fmt.Errorf("--ca: %w", file)
	case errors.As(err, &file) && file.Path != "" && file.Path == opts.CertFile: // the certificate is read before the key
		return fmt.Errorf("--cert: %w", file)
	case errors.As(err, &file) && file.Path != "" && file.Path == opts.KeyFile:
		return fmt.Errorf("--key: %w", file)
	case errors.As(err, &untrusted):
		return fmt.Errorf("this machine does not trust the certificate of %s: give --ca FILE", addr)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("the server at %s does not use TLS: is it http:// rather than https://?", addr)
	case errors.As(err, &handshake) && strings.Contains(handshake.Message, "HTTP request to an HTTPS server"):
		return fmt.Errorf("the hub at %s uses TLS: give its address as https://", addr)
	case errors.As(err, &handshake) && handshake.Code < 0 && strings.HasPrefix(handshake.Message, "a redirect to "):
		return fmt.Errorf("%s is %s: give --addr that address if the hub is there", addr, handshake.Message)
	case errors.As(err, &handshake) && handshake.Status == http.StatusServiceUnavailable:
		return fmt.Errorf("the hub at %s accepts no client now: %s", addr, handshake.Message)
	case errors.As(err, &handshake) && handshake.Code < 0:
		return fmt.Errorf("the server at %s is not a hub (%s): check --addr, and its path if it is a URL", addr, handshake.Message)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("there is no host called %q: check --addr", dns.Name)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use: 'mesh connect' joins the hub there, 'mesh start' listens or connects, whichever works, --addr takes another address", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: check --addr", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on %s: take a port above 1023", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no hub at %s: no program listens there. Start a hub there with 'mesh start --addr %s', or give the hub's address with --addr", addr, addr)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no hub at %s: no answer within %v. Is it the right --addr?", addr, answerTimeout)
	case errors.Is(err, mesh.ErrLegacyHub):
		return fmt.Errorf("the hub at %s is a Node.js hub: it does not answer requests about its mesh", addr)
	case errors.Is(err, mesh.ErrNotPermitted):
		return fmt.Errorf("the hub at %s does not permit this request", addr)
	case errors.Is(err, mesh.ErrUnconfirmed):
		return fmt.Errorf("the connection to %s broke before the hub confirmed the event: it may be lost", addr)
	case errors.Is(err, mesh.ErrTooLarge):
		return fmt.Errorf("the event is too large: at most %d bytes, including the name", mesh.DefaultMaxMessage)
	case errors.As(err, &request):
		return fmt.Errorf("no hub at %s: %w. Is it the right --addr?", addr, request.Err)
	}
	return withFlagName(err)
}

// noHubAtAny returns the reason, for each of several addresses, why there is no hub.
func noHubAtAny(err error, addrs string) error {
	type failure struct{ addr, why string }
	var all []failure
	for _, err := range splitErrors(err) {
		if dial, ok := errors.AsType[*mesh.DialError](err); ok {
			all = append(all, failure{dial.Addr, unreachableReason(dial.Err)})
		}
	}
	slices.SortStableFunc(all, func(a, b failure) int { // in the order of the flag
		return cmp.Compare(strings.Index(addrs, a.addr), strings.Index(addrs, b.addr))
	})
	var b strings.Builder
	for i, f := range all {
		if i > 0 {
			b.WriteString(", nor at ")
		}
		fmt.Fprintf(&b, "%s (%s)", f.addr, f.why)
	}
	return fmt.Errorf("no hub at %s", &b)
}

// splitErrors splits a joined error into its parts.
func splitErrors(err error) (all []error) {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, err := range several.Unwrap() {
		all = append(all, splitErrors(err)...)
	}
	return all
}

// unreachableReason returns a short text with the reason why there is no hub at an address.
func unreachableReason(err error) string {
	var (
		handshake *engineio.HandshakeError
		dns       *net.DNSError
		request   *url.Error
		proxy     *engineio.ProxyError
	)
	switch {
	case errors.As(err, &proxy) && proxy.Unreachable:
		return unreachableProxy(proxy)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no program listens there"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "this machine does not trust its certificate: give --ca FILE"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not use TLS"
	case errors.As(err, &handshake) && handshake.Status == http.StatusServiceUnavailable:
		return "it accepts no client now: " + handshake.Message
	case errors.As(err, &handshake) && handshake.Code < 0:
		return "the server is not a hub: " + handshake.Message
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}

// flagOf has the flag of each option that the command sets.
var flagOf = map[string]string{
	"Addr": "--addr", "AllowedOrigins": "--allow-origin", "CAFile": "--ca", "CertFile": "--cert",
	"ConnsPerAddr": "--connections-per-address", "Name": "--name", "Password": "the password",
	"SessionsPerAddr": "--sessions-per-address", "Token": "the token", "TrustedProxies": "--trusted-proxy", "User": "--user",
}

// withFlagName names the flag in place of the option.
func withFlagName(err error) error {
	option, ok := errors.AsType[*mesh.OptionError](err)
	if !ok || flagOf[option.Option] == "" {
		return err
	}
	return fmt.Errorf("%s: %w", flagOf[option.Option], option.Err)
}

// withoutPackage removes the package's name from an error about the user's input.
func withoutPackage(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "protocol: "))
}

// shortReason returns the shortest error with the reason why a connection ended.
func shortReason(err error) error {
	if closed, ok := errors.AsType[*engineio.CloseError](err); ok {
		return errors.New(closed.Reason)
	}
	return err
}

// withQuotingHint adds to an error about bad JSON in an argument how to quote JSON in a shell.
func withQuotingHint(err error) error {
	if !errors.Is(err, errBadJSON) {
		return err
	}
	return fmt.Errorf("%w\nPut JSON in single quotes, so that the shell leaves its double quotes alone: '{\"n\":1}' or '\"text\"'", err)
}

// contextBytes is how many bytes of bad JSON badJSON shows on each side of the fault.
const contextBytes = 30

var errBadJSON = errors.New("bad JSON")

// badJSON returns an error that shows the place of the fault in data.
func badJSON(data string, err error) error {
	var syntax *protocol.SyntaxError
	if !errors.As(err, &syntax) {
		return withoutPackage(err)
	}
	at := min(syntax.Offset, len(data))
	from, to := max(0, at-contextBytes), min(len(data), at+contextBytes)
	for from > 0 && !utf8.RuneStart(data[from]) {
		from--
	}
	for to < len(data) && !utf8.RuneStart(data[to]) {
		to++
	}
	shown := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, data[from:to])
	indent := strings.Repeat(" ", utf8.RuneCountInString(data[from:at]))
	return fmt.Errorf("%w at byte %d: %w\n  %s\n  %s^", errBadJSON, at+1, syntax.Err, shown, indent)
}
