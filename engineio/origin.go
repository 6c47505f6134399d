package engineio

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// originAllowed checks where the page comes from that makes a request. It goes by the Origin header, which browsers send
// and pages cannot forge, on every transport: CORS headers alone do not keep a foreign page from opening a WebSocket. A
// script tag, by which JSONP asks, sends none, so that other headers are its witnesses. It returns how to refuse the request, if so.
func (srv *Server) originAllowed(r *http.Request, jsonp bool) (code int, reason string, ok bool) {
	origin := r.Header.Get("Origin")
	if origin == "" && jsonp {
		origin = originOfScript(r)
	}
	if origin == "" || srv.allOrigin {
		return 0, "", true
	}
	host := r.Host
	forwarded := forwardedHost(r)
	if srv.opts.TrustForwardedHost && forwarded != "" {
		host = forwarded
	}
	if strings.EqualFold(origin, host) || hostAndPort(origin) {
		// Not a browser, which sends null or scheme://host: the WebSocket of engine.io-client 1.x in Node.js leaves the
		// scheme out. It may not equal Host behind a proxy that rewrites that.
		return 0, "", true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return CodeBadRequest, "INVALID_ORIGIN: " + origin, false
	}
	own := func(host string) bool { return u.Host != "" && strings.EqualFold(u.Host, host) }
	if own(host) || slices.ContainsFunc(srv.opts.AllowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return 0, "", true
	}
	option, refused := "AllowedOrigins", &srv.refused.origin
	if own(forwarded) {
		option, refused = "TrustForwardedHost", &srv.refused.proxied // a proxy says that it is our own page
	}
	if times := refused.note(); times > 0 {
		srv.opts.Logger.Warn("engineio: refused a page of another origin; the option named here admits it",
			"option", option, "origin", cut(origin), "host", cut(host), "times", times)
	}
	return CodeForbidden, "FORBIDDEN: origin " + origin, false
}

// cut is what the log shows of a header.
func cut(s string) string { return s[:min(len(s), 200)] }

// hostAndPort says whether origin is host:port without a scheme.
func hostAndPort(origin string) bool {
	_, port, err := net.SplitHostPort(origin)
	return err == nil && port != "" && strings.Trim(port, "0123456789") == ""
}

// forwardedHost is the host that the client asked for, as the first of the proxies before this server says.
func forwardedHost(r *http.Request) string {
	host, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	return strings.TrimSpace(host)
}

// originOfScript is where the page comes from whose script tag, or old browser's form, makes a request. It is empty for
// a page of this server. Who shows no sign of it, since a page can keep its browser from sending one, is of an
// origin that only "*" admits.
func originOfScript(r *http.Request) string {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // the latter is the user's own doing
		return ""
	}
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host == "" {
		return "null"
	}
	return u.Scheme + "://" + u.Host
}
