package mesh

import (
	"net/http"

	"github.com/bigcompany/mesh/mesh/internal/hub"
)

// RejectRebound returns a handler that rejects requests which reach this machine's loopback under a foreign name: it
// responds with status 403 if the name is not this machine's and AllowedOrigins does not allow it. It passes all other
// requests to h. Use it for data that pages of foreign sites must not read. The hub's own page and sessions have this
// protection already.
func (n *Node) RejectRebound(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hub.RejectRebinding(n.hub(), w, r) {
			h.ServeHTTP(w, r)
		}
	})
}
