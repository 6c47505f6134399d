package mesh

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
)

// DNS rebinding: a site can change the address of its name to 127.0.0.1 after a browser has loaded its page. To the
// browser, and by the header Host, the hub is then the page's own server. Behind a proxy on this machine such a name can be
// right, and AllowedOrigins says so.

// RejectRebound returns a handler that answers status 403 to requests which reach this machine's loopback under a name
// that is not this machine's and that AllowedOrigins does not allow, and that calls h for all others. It is for data that
// pages of foreign sites must not read. Requests to the hub's own page and sessions need no such handler.
func (n *Node) RejectRebound(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.rebound(r) {
			rejectRebound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func rejectRebound(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "Forbidden: this machine does not know the name "+cutText(r.Host)+
		". If a proxy on this machine serves that name, add its origin to AllowedOrigins (--allow-origin).", http.StatusForbidden)
}

// rebound reports whether a request may be that of a rebound page.
func (n *Node) rebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() || ofThisMachine(r.Host) {
		return false
	}
	origins := []string{r.Header.Get("Origin")}
	if origins[0] == "" { // browsers send none with a GET of the page's own server
		origins = []string{"https://" + r.Host, "http://" + r.Host}
	}
	if h := n.hub.Load(); h != nil {
		if slices.ContainsFunc(origins, h.server.AllowsOrigin) {
			return false
		}
		if times := h.rebounds.note(); times > 0 {
			n.opts.Logger.Warn("mesh: rejected a page that reaches this machine under another name; AllowedOrigins admits it",
				"origin", cutText(origins[0]), "host", cutText(r.Host), "times", times)
		}
	}
	return true
}

// ofThisMachine reports whether a host can only mean this machine, given that it led to this machine: an IP address,
// localhost, the machine's own name, and a name that no site can have. A name of one part is such a name, since resolvers
// look for it in the local network. With a final dot it is a top-level domain, and some of these have addresses.
func ofThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host, absolute := strings.CutSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	switch {
	case host == "localhost", strings.HasSuffix(host, ".localhost"), strings.EqualFold(host, machineName()):
		return true
	default:
		return !absolute && !strings.Contains(host, ".")
	}
}

// machineName returns the name of this machine.
var machineName = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
})
