package engineio

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// allowedOrigins is the parsed form of ServerOptions.AllowedOrigins. The check of a request and the CORS headers both
// use it, so the server never permits a preflight and then rejects its request.
type allowedOrigins struct {
	all    bool
	exact  []string // in the form of origin.String, or "null" or "file://"
	suffix []origin // the entries with a wildcard; the host begins with the dot
}

// origin is a scheme and a host with port, in lower case and without the scheme's default port.
type origin struct{ scheme, host string }

// CheckOrigin returns an error that explains why s cannot be an entry of ServerOptions.AllowedOrigins, or nil if it
// can.
func CheckOrigin(s string) error {
	_, err := new(allowedOrigins).with(s)
	return err
}

func parseAllowedOrigins(entries []string) (allowedOrigins, error) {
	var a allowedOrigins
	for _, entry := range entries {
		var err error
		if a, err = a.with(entry); err != nil {
			return a, err
		}
	}
	return a, nil
}

// with adds one entry to a copy of the list. It returns an error if the entry is not an origin.
func (a allowedOrigins) with(entry string) (allowedOrigins, error) {
	switch entry {
	case "*":
		a.all = true
		return a, nil
	case "null", "file://":
		a.exact = append(slices.Clip(a.exact), entry)
		return a, nil
	}
	o, err := parseAllowedOrigin(entry)
	if err != nil {
		if at := strings.LastIndex(entry, "@"); at >= 0 {
			entry = "…" + entry[at:] // a password may precede the @
		}
		return a, fmt.Errorf("engineio: AllowedOrigins: %q: %w", entry, err)
	}
	if strings.HasPrefix(o.host, "*.") {
		a.suffix = append(slices.Clip(a.suffix), origin{o.scheme, o.host[1:]})
	} else {
		a.exact = append(slices.Clip(a.exact), o.String())
	}
	return a, nil
}

// has reports whether an entry admits the origin that a browser sent.
func (a allowedOrigins) has(s string) bool {
	if a.all || slices.ContainsFunc(a.exact, func(e string) bool { return strings.EqualFold(e, s) }) {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return false
	}
	o := originOf(u)
	return slices.Contains(a.exact, o.String()) || slices.ContainsFunc(a.suffix, func(e origin) bool {
		return e.scheme == o.scheme && len(o.host) > len(e.host) && strings.HasSuffix(o.host, e.host)
	})
}

func (o origin) String() string { return o.scheme + "://" + o.host }

// parseAllowedOrigin parses an entry of an operator. It is stricter than a browser's parser: it must not silently
// accept an entry that no browser ever sends.
func parseAllowedOrigin(s string) (origin, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	switch {
	case strings.Contains(s, ","):
		return origin{}, errors.New("this is more than one origin; give each an entry")
	case err != nil || u.Scheme == "" || u.Host == "":
		return origin{}, errors.New("an origin is a scheme and a host, such as https://example.com; * admits every page, null those in files")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return origin{}, fmt.Errorf("an origin has no user, path, query or fragment; write %s", originOf(u))
	case u.Scheme == "ws" || u.Scheme == "wss":
		return origin{}, fmt.Errorf("the origin of a page that opens a WebSocket is that of the page; write %s", "http"+strings.TrimPrefix(originOf(u).String(), "ws"))
	}
	name := u.Hostname()
	if strings.Contains(u.Host, "[") {
		addr, err := netip.ParseAddr(name)
		if err != nil || addr.Zone() != "" {
			return origin{}, errors.New("the address in brackets is no IPv6 address")
		}
		u.Host = strings.TrimSuffix("["+addr.String()+"]:"+u.Port(), ":")
	} else {
		rest := strings.TrimPrefix(name, "*.")
		switch {
		case strings.Contains(rest, "*"):
			return origin{}, errors.New("a * can only replace the first labels of a name, as in https://*.example.com")
		case strings.ContainsFunc(rest, func(r rune) bool { return r > 0x7e }):
			return origin{}, errors.New("browsers send the ASCII form of a name, which begins with xn--; write that form")
		case !isHostName(rest):
			return origin{}, fmt.Errorf("%q is no name of a host", name)
		}
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return origin{}, errors.New("the port must be a number up to 65535")
		}
		u.Host = strings.TrimSuffix(u.Host, port) + strconv.FormatUint(n, 10)
	}
	return originOf(u), nil
}

// originOf returns the origin of a URL.
func originOf(u *url.URL) origin {
	scheme := strings.ToLower(u.Scheme)
	return origin{scheme, strings.TrimSuffix(strings.ToLower(u.Host), defaultPort[scheme])}
}

// defaultPort has each scheme's default port, as a suffix of a host.
var defaultPort = map[string]string{"http": ":80", "https": ":443"}

// isHostName reports whether s can be a host name or an IPv4 address.
func isHostName(s string) bool {
	return s != "" && s[0] != '.' && !strings.Contains(s, "..") && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}
