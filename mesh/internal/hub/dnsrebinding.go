package hub

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// DNS rebinding: a site can change the address of its name to 127.0.0.1 after a browser has loaded its page. The
// browser then treats the hub as the page's own server, and the header Host agrees with that. Behind a proxy on this
// machine such a name can be legitimate; AllowedOrigins then lists it.

// RejectRebinding responds to a request that may come from a page after DNS rebinding, and returns true. It returns
// false for any other request. h is nil at a node that is not a hub.
func RejectRebinding(h *Hub, w http.ResponseWriter, r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() || isLocalHostname(r.Host) || h != nil && h.allowsRebinding(r) {
		return false
	}
	http.Error(w, "Forbidden: this machine does not know the name "+wire.Truncate(r.Host)+
		". If a proxy on this machine serves that name, add its origin to AllowedOrigins (--allow-origin).", http.StatusForbidden)
	return true
}

// allowsRebinding reports whether AllowedOrigins has the origin of a request that names this machine in a foreign way.
// It logs the requests that it does not allow.
func (h *Hub) allowsRebinding(r *http.Request) bool {
	origins := []string{r.Header.Get("Origin")}
	if origins[0] == "" { // browsers send no Origin with a GET to the page's own server
		origins = []string{"https://" + r.Host, "http://" + r.Host}
	}
	if slices.ContainsFunc(origins, h.server.AllowsOrigin) {
		return true
	}
	if times := h.rebindLog.Allow(); times > 0 {
		h.conf.Logger.Warn("mesh: rejected a page that reaches this machine under another name; AllowedOrigins admits it",
			"origin", wire.Truncate(origins[0]), "host", wire.Truncate(r.Host), "times", times)
	}
	return false
}

// isLocalHostname reports whether a host that led to this machine can only mean this machine: an IP address, localhost,
// the machine's own name, or a name that no site can have. A name of one part is such a name, because resolvers look it
// up in the local network. With a final dot it is a top-level domain, and some of these have addresses.
func isLocalHostname(host string) bool {
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
