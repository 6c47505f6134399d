package mesh

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
)

// address is the address of a hub.
type address struct {
	scheme string // http or https
	host   string // not empty, without brackets
	port   string
	path   string // the path of Engine.IO, without a slash at the end
	bare   bool   // Options.Addr had no scheme
}

var (
	errUserinfo = errors.New("use User and Password for credentials")
	errQuery    = errors.New("the URL must not have a query or fragment")
	errNoAddr   = errors.New("an address in the list is empty")
	errSeveral  = errors.New("only Start and Connect accept several addresses")
	errNoTLS    = errors.New("a hub at an https address needs CertFile and KeyFile; or mount NewHub in a server with TLS")
)

// parseAddrs parses Options.Addr.
func parseAddrs(s string) ([]address, error) {
	parts := strings.Split(s, ",")
	if len(parts) > 1 && strings.Contains(s, "@") {
		return nil, &OptionError{"Addr", errUserinfo} // a password may contain commas
	}
	addrs := make([]address, len(parts))
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if part == "" && len(parts) > 1 {
			return nil, &OptionError{"Addr", errNoAddr}
		}
		var err error
		if addrs[i], err = parseAddr(part); err != nil {
			return nil, &OptionError{"Addr", err}
		}
	}
	return addrs, nil
}

// parseAddr parses one address. Its errors do not quote text that could be a password.
func parseAddr(s string) (address, error) {
	a := address{scheme: "http", path: engineio.DefaultPath}
	hostport := s
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			if strings.Contains(s, "@") {
				return a, errUserinfo // the error of url.Parse may quote a part of a password
			}
			if ue, ok := errors.AsType[*url.Error](err); ok {
				err = ue.Err // without the URL, which may contain a password
			}
			return a, err
		case u.User != nil:
			return a, errUserinfo
		case u.RawQuery != "" || u.Fragment != "":
			return a, errQuery
		}
		switch u.Scheme {
		case "http", "ws":
			a.port = "80"
		case "https", "wss":
			a.scheme, a.port = "https", "443"
		default:
			return a, fmt.Errorf("unknown scheme %q", u.Scheme)
		}
		if path := strings.TrimRight(u.Path, "/"); path != "" {
			a.path = path
		}
		a.host = u.Hostname()
		if u.Port() != "" {
			a.port = u.Port()
		}
	} else {
		if strings.Contains(s, "@") {
			return a, errUserinfo
		}
		host, port, err := net.SplitHostPort(hostport)
		if err != nil {
			// The address is a host name or an IP address without a port.
			host, port = strings.Trim(hostport, "[]"), ""
			if strings.ContainsAny(host, "/@? ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
				return a, errors.New("the address is neither host:port nor a URL")
			}
		}
		a.host, a.port, a.bare = host, port, true
	}
	defaultHost, defaultPort, _ := net.SplitHostPort(DefaultAddr)
	if a.host == "" {
		a.host = defaultHost
	}
	if a.port == "" {
		a.port = defaultPort
	}
	return a, nil
}

// at returns the address with another host.
func (a address) at(host string) address {
	a.host = host
	return a
}

func (a address) String() string { return net.JoinHostPort(a.host, a.port) }

// target returns the address as a client dials it; the zero value if the address has no host.
func (a address) target() uplink.Addr {
	if a.host == "" {
		return uplink.Addr{}
	}
	u := url.URL{Scheme: a.scheme, Host: a.String(), Path: a.path + "/"}
	return uplink.Addr{URL: u.String(), Host: a.String()}
}
