package engineio

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// originAllowed reports whether a page of this origin may use the server. On every transport it checks the Origin
// header, which browsers send and pages cannot forge: CORS headers alone do not keep a foreign page from opening a
// WebSocket. A script tag, which JSONP uses, sends no Origin; other headers then show the page's origin. If ok is
// false, code and reason describe the rejection.
func (srv *Server) originAllowed(r *http.Request, jsonp bool) (code int, reason string, ok bool) {
	origin := r.Header.Get("Origin")
	if origin == "" && jsonp {
		origin = originOfScript(r)
	}
	if origin == "" || srv.origins.all || programOrigin(origin) {
		return 0, "", true
	}
	host, forwarded := r.Host, forwardedHost(r)
	if srv.opts.TrustForwardedHost && forwarded != "" {
		host = forwarded
	}
	u, err := url.Parse(origin)
	if err != nil {
		return CodeBadRequest, "INVALID_ORIGIN: " + origin, false
	}
	if isHost(u, host) && srv.mayServe(u.Scheme, r) || srv.origins.has(origin) {
		return 0, "", true
	}
	option, throttle := "AllowedOrigins", &srv.rejections.origin
	if isHost(u, forwarded) {
		option, throttle = "TrustForwardedHost", &srv.rejections.proxied // a proxy reports that the page is our own
	}
	if times := throttle.Allow(); times > 0 {
		srv.opts.Logger.Warn("engineio: rejected a page of another origin; the option named here admits it",
			"option", option, "origin", cut(origin), "host", cut(host), "times", times)
	}
	return CodeForbidden, "FORBIDDEN: origin " + origin, false
}

// mayServe reports whether a page of the server's own host may have this scheme. If TLS ends at a proxy, pages have
// https although the proxy's requests do not. So the server does not compare schemes, with one exception: if the server
// itself ends TLS and TrustForwardedHost is off, it rejects a page with http, because an attacker on the network made
// that page.
func (srv *Server) mayServe(scheme string, r *http.Request) bool {
	return scheme != "http" || r.TLS == nil || srv.opts.TrustForwardedHost
}

// AllowsOrigin reports whether AllowedOrigins admits pages of this origin, which has the form of the Origin header.
func (srv *Server) AllowsOrigin(origin string) bool { return srv.origins.has(origin) }

// cut returns the part of a header that the log shows.
func cut(s string) string { return s[:min(len(s), 200)] }

// programOrigin reports whether s has the form that the WebSocket of engine.io-client 1.x sends in Node.js: the
// server's host, or host:port, without a scheme. A browser sends a scheme and "://", or null.
func programOrigin(s string) bool {
	if s == "null" {
		return false
	}
	host := s
	if name, port, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	} else if name, ok := strings.CutPrefix(strings.TrimSuffix(s, "]"), "["); ok {
		host = name
	}
	_, err := netip.ParseAddr(host)
	return err == nil || isHostName(host)
}

// isHost reports whether a page of u comes from the host that a request names in Host or X-Forwarded-Host. These
// headers have no scheme, so isHost ignores both default ports there: a proxy may end TLS at port 443 and pass on port
// 80.
func isHost(u *url.URL, host string) bool {
	if u.Host == "" || strings.EqualFold(u.Host, host) {
		return u.Host != ""
	}
	host = strings.ToLower(host)
	for _, port := range defaultPort {
		if name, ok := strings.CutSuffix(host, port); ok {
			host = name
			break
		}
	}
	return originOf(u).host == host
}

// forwardedHost returns the host that the client requested, according to the first proxy.
func forwardedHost(r *http.Request) string {
	host, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	return strings.TrimSpace(host)
}

// originOfScript returns the origin of the page whose script tag, or form in an old browser, makes a request. It is
// empty for a page of this server. It is "null" if the headers do not show the page, which is in a file then, or keeps
// its browser from sending Referer.
func originOfScript(r *http.Request) string {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // "none" means that the user made the request
		return ""
	}
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host == "" {
		return "null"
	}
	return u.Scheme + "://" + u.Host
}
