package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// answerTimeout bounds how long a command waits to find a hub, and to receive a hub's reply.
const answerTimeout = 15 * time.Second

// The environment variables that can hold secrets. All users of a machine can see a command line.
const (
	passwordVariable = "MESH_PASSWORD"
	tokenVariable    = "MESH_TOKEN"
)

// nodeFlags holds the flags of every command that makes a node.
type nodeFlags struct {
	addr, name, user, passwordFile, tokenFile, caFile string
	// The flags of the commands that may run a hub.
	certFile, keyFile string
	origins           []string
	forwardedHost     bool
	proxies           []string
	conns, sessions   int
}

func (f *nodeFlags) register(set *pflag.FlagSet) {
	set.SortFlags = false
	set.StringVar(&f.addr, "addr", mesh.DefaultAddr, "`ADDRESS` of the hub: host:port or URL; several, separated by commas, are tried in turn")
	set.StringVar(&f.name, "name", "", "`NAME` of this node, which others see in 'mesh nodes'")
	set.StringVar(&f.user, "user", "", "`NAME` that a hub requires and a client presents, together with a password")
	set.StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password (default: the environment variable "+passwordVariable+")")
	set.StringVar(&f.tokenFile, "token-file", "", "`FILE` with a token that a hub requires and a client presents (default: the environment variable "+tokenVariable+")")
	set.StringVar(&f.caFile, "ca", "", "`FILE` with the certificates of the authorities to trust for hubs and NATS servers, in PEM (default: the system's)")
}

// registerHub adds the flags of the commands that may run a hub.
func (f *nodeFlags) registerHub(set *pflag.FlagSet) {
	set.StringVar(&f.certFile, "cert", "", "`FILE` with the certificate of a hub with TLS, in PEM")
	set.StringVar(&f.keyFile, "key", "", "`FILE` with the key that goes with --cert")
	set.StringSliceVar(&f.origins, "allow-origin", nil, "admit the pages of `ORIGIN` too, such as https://example.com, https://*.example.com, or null for pages in files; may be repeated")
	set.BoolVar(&f.forwardedHost, "trust-forwarded-host", false, "take the hub's own host from X-Forwarded-Host; a proxy in front of the hub must set it")
	set.StringSliceVar(&f.proxies, "trusted-proxy", nil, "apply limits to the client address that a proxy at `ADDRESS` reports in X-Forwarded-For; an IP address or a network such as 10.0.0.0/8; may be repeated")
	set.IntVar(&f.conns, "connections-per-address", mesh.DefaultConnsPerAddr, "limit the connections of one address without an admitted peer to `N`; loopback does not count")
	set.IntVar(&f.sessions, "sessions-per-address", mesh.DefaultSessionsPerAddr, "limit the sessions of one address that wait for admission to `N`; loopback does not count")
}

// options checks the flags and returns the options of a node of either role.
func (f *nodeFlags) options(logs *logFlags) (*mesh.Options, error) {
	if f.addr == "" { // perhaps from an unset variable
		return nil, errors.New("--addr is empty: give it a value, or leave it out")
	}
	addrs := strings.Split(f.addr, ",")
	if len(addrs) > 1 && strings.Contains(f.addr, "@") {
		return nil, errAddrPassword // the password may contain commas
	}
	for i, addr := range addrs {
		var err error
		if addrs[i], err = checkAddr(strings.TrimSpace(addr)); err != nil {
			return nil, err
		}
	}
	o := &mesh.Options{Addr: strings.Join(addrs, ","), Name: f.name, Logger: logs.logger(), CAFile: f.caFile, CertFile: f.certFile, KeyFile: f.keyFile, AllowedOrigins: f.origins, TrustForwardedHost: f.forwardedHost,
		TrustedProxies: f.proxies, ConnsPerAddr: f.conns, SessionsPerAddr: f.sessions}
	password, err := secret(o.Logger, "--password-file", f.passwordFile, passwordVariable)
	if err != nil {
		return nil, err
	}
	if o.Token, err = secret(o.Logger, "--token-file", f.tokenFile, tokenVariable); err != nil {
		return nil, err
	}
	if o.Token != "" {
		o.Authorize = mesh.BearerAuth(o.Token)
	}
	switch {
	case (f.certFile == "") != (f.keyFile == ""):
		return nil, errors.New("--cert and --key go together: give both")
	case f.user == "" && password != "":
		return nil, errors.New("there is a password, but no user: give --user too")
	case f.user != "" && password == "":
		return nil, fmt.Errorf("--user needs a password: write it to a file and give --password-file FILE, or set %s", passwordVariable)
	case f.user != "":
		o.User, o.Password = f.user, password
		o.Authorize = authorizeEither(mesh.BasicAuth(f.user, password), o.Authorize)
	}
	return o, nil
}

// authorizeEither admits a client if a or b admits it. b may be nil.
func authorizeEither(a, b authorizer) authorizer {
	if b == nil {
		return a
	}
	return func(ctx context.Context, c mesh.Credentials) error {
		if a(ctx, c) == nil {
			return nil
		}
		return b(ctx, c)
	}
}

type authorizer = func(context.Context, mesh.Credentials) error

var errAddrPassword = fmt.Errorf("--addr must not have a user or password in it: give --user, and the password by --password-file or %s", passwordVariable)

// checkAddr finds the faults that mesh.Options would not report in terms of the command line. It fills in the default
// host and port, so that messages show them.
func checkAddr(addr string) (string, error) {
	var port string
	if strings.Contains(addr, "://") {
		u, err := url.Parse(addr)
		if err == nil && u.User != nil {
			return "", errAddrPassword
		}
		if err == nil { // otherwise mesh reports the fault without the password
			port = u.Port()
		}
	} else if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
		return "", fmt.Errorf("--addr %s is a port without a host: did you mean localhost:%s?", addr, addr)
	} else {
		host, usual, _ := net.SplitHostPort(mesh.DefaultAddr)
		h, p, err := net.SplitHostPort(addr)
		if name := strings.Trim(addr, "[]"); err != nil && name != "" && (!strings.ContainsAny(name, ":/@? ") || net.ParseIP(name) != nil) {
			h, err = name, nil // without a port
		}
		if err == nil { // otherwise mesh reports the fault
			port = cmp.Or(p, usual)
			addr = net.JoinHostPort(cmp.Or(h, host), port)
		}
	}
	if _, err := strconv.ParseUint(cmp.Or(port, "0"), 10, 16); err != nil {
		return "", fmt.Errorf("--addr %s: the port must be a number up to 65535", addr)
	}
	return addr, nil
}

// secret returns the content of the file if name is set, and otherwise the environment variable. If other users can
// read the file, secret only logs a warning, because some machines have no other users.
func secret(logger *slog.Logger, flag, name, variable string) (string, error) {
	if name == "" {
		return os.Getenv(variable), nil
	}
	what := strings.TrimSuffix(strings.TrimPrefix(flag, "--"), "-file")
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	defer func() { _ = file.Close() }()
	// A user that names a device or a wrong file must get an error, not wait for the end of the input.
	text, err := io.ReadAll(io.LimitReader(file, protocol.MaxCredential+3))
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	held := string(bytes.TrimRight(text, "\r\n"))
	switch {
	case held == "":
		return "", fmt.Errorf("%s: %s is empty: write the %s into it", flag, name, what)
	case len(held) > protocol.MaxCredential:
		return "", fmt.Errorf("%s: %s is too long for a %s: at most %d bytes", flag, name, what, protocol.MaxCredential)
	}
	if info, err := file.Stat(); err == nil && info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows" {
		logger.Warn("mesh: all users of this machine can read the "+what+": chmod 600 keeps it to you", "file", name)
	}
	return held, nil
}

// withAnswerTimeout limits the time of a start or a reply to answerTimeout.
func withAnswerTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerTimeout)
}

func checkPatterns(flag string, patterns []string) error {
	for _, p := range patterns {
		if err := protocol.CheckListen(p); err != nil {
			return fmt.Errorf("%s%w", flag, withoutPackage(err))
		}
	}
	return nil
}

// printIdentity tells the user which role, URL and ID the node has.
func printIdentity(n *mesh.Node, logs *logFlags) {
	attrs := []any{"role", string(n.Role()), "url", n.URL(), "id", n.ID()}
	if n.Role() == mesh.RoleHub {
		logs.notice(fmt.Sprintf("this node is the hub, at %s (its ID is %s)", n.URL(), n.ID()), attrs...)
		return
	}
	hub := "the hub"
	if info, ok := n.Hub(); ok && info.Legacy {
		hub = "the Node.js hub"
	}
	logs.notice(fmt.Sprintf("this node is a client of %s at %s (its ID is %s)", hub, n.URL(), n.ID()), attrs...)
}

// warnOpenHub warns the user of a hub that other machines can reach and that admits clients without credentials.
func warnOpenHub(n *mesh.Node, opts *mesh.Options, logs *logFlags) {
	host, _, _ := net.SplitHostPort(n.Addr())
	if n.Role() != mesh.RoleHub || opts.Authorize != nil || host == "localhost" || net.ParseIP(host).IsLoopback() {
		return
	}
	logs.notice("every client that can reach this machine is admitted: --user and a password, or a token, keep others out", "addr", n.Addr())
}

// reportState reports when the node loses its hub, when it is connected again, to the same hub or another, and when it
// becomes the hub.
func reportState(n *mesh.Node, logs *logFlags) {
	at, lost, first := n.URL(), false, true
	n.OnState(func(s mesh.State) {
		if first && s.Status == mesh.Connected { // the state from the start, which was reported already
			first = false
			return
		}
		first = false
		url := n.URL()
		moved := !lost
		lost = s.Status == mesh.Disconnected
		switch {
		case s.Role == mesh.RoleHub:
			logs.notice("the hub is gone: this node is the hub now, at "+url, "role", string(mesh.RoleHub), "url", url)
		case s.Status == mesh.Connected && moved:
			logs.notice("moved to the hub at "+url+", because the other one will close", "url", url)
			at = url
		case s.Status == mesh.Connected && url != at:
			logs.notice("connected to the hub at "+url, "url", url)
			at = url
		case s.Status == mesh.Connected:
			logs.notice("the hub is back, at "+url, "url", url)
		case s.Attempt == 0:
			logs.notice(fmt.Sprintf("lost the hub at %s (%v): looking for it until it is back", at, shortReason(s.Err)), "url", at)
		}
	})
}
