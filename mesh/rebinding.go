package mesh

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// rebound tells whether a request is that of a page which reaches this machine by a name that is no name of it. Whoever
// runs a site can have its name stand for 127.0.0.1 once the page is loaded: to the browser, and by Host, the hub is then
// the page's own server. Behind a proxy on this machine such a name is right, and AllowedOrigins says so.
func (h *hub) rebound(r *http.Request) bool {
	origin := r.Header.Get("Origin") // browsers send it with each POST and WebSocket; without one of them nobody joins a mesh
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if origin == "" || local == nil || !local.IP.IsLoopback() || ofThisMachine(r.Host) || h.server.AllowsOrigin(origin) {
		return false
	}
	if times := h.rebounds.note(); times > 0 {
		h.node.opts.Logger.Warn("mesh: refused a page that has this machine under another name; AllowedOrigins admits it",
			"origin", cutText(origin), "host", cutText(r.Host), "times", times)
	}
	return true
}

// ofThisMachine tells whether a host can only mean this machine, when it is this machine that it led to: an address, and
// names that no site can have, localhost and those without a dot.
func ofThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}
