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

// DNS rebinding: a site can change the address of its name to 127.0.0.1 after a browser has loaded its page. The
// browser then treats the hub as the page's own server, and the header Host agrees with that. Behind a proxy on this
// machine such a name can be legitimate; AllowedOrigins then lists it.

// RejectRebound returns a handler that rejects requests which reach this machine's loopback under a foreign name: it
// responds with status 403 if the name is not this machine's and AllowedOrigins does not allow it. It passes all other
// requests to h. Use it for data that pages of foreign sites must not read. The hub's own page and sessions have this
// protection already.
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
	http.Error(w, "Forbidden: this machine does not know the name "+truncate(r.Host)+
		". If a proxy on this machine serves that name, add its origin to AllowedOrigins (--allow-origin).", http.StatusForbidden)
}

// rebound reports whether a request may come from a page after DNS rebinding. It logs such requests.
func (n *Node) rebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() || ofThisMachine(r.Host) {
		return false
	}
	origins := []string{r.Header.Get("Origin")}
	if origins[0] == "" { // browsers send no Origin with a GET to the page's own server
		origins = []string{"https://" + r.Host, "http://" + r.Host}
	}
	if h := n.hub.Load(); h != nil {
		if slices.ContainsFunc(origins, h.server.AllowsOrigin) {
			return false
		}
		if times := h.rebindLog.Allow(); times > 0 {
			n.opts.Logger.Warn("mesh: rejected a page that reaches this machine under another name; AllowedOrigins admits it",
				"origin", truncate(origins[0]), "host", truncate(r.Host), "times", times)
		}
	}
	return true
}

// ofThisMachine reports whether a host that led to this machine can only mean this machine: an IP address, localhost,
// the machine's own name, or a name that no site can have. A name of one part is such a name, because resolvers look it
// up in the local network. With a final dot it is a top-level domain, and some of these have addresses.
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
