package hub

import (
	"net/http"
	"strings"

	"github.com/bigcompany/mesh/mesh/gateway"
)

// assets serves a hub's files for browsers: the client for browsers, and the page if Options.Page is set. It responds
// with 404 to paths that it does not have.
type assets struct {
	http.Handler
	page bool
}

// newAssets returns the files for a hub whose Engine.IO is at path.
func newAssets(path string, page bool) assets {
	return assets{gateway.Handler(path, page), page}
}

func (b assets) has(path string) bool {
	return gateway.Serves(path, b.page)
}

// ServeHTTP serves a hub that is mounted in another server. It ignores any prefix of the paths that it knows.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, leave, ok := h.enter(w, r)
	if !ok {
		return
	}
	defer leave()
	path := r.URL.Path
	if i := strings.LastIndex(path+"/", h.conf.Path+"/"); i >= 0 {
		h.server.ServeHTTP(w, cutPath(r, i))
		return
	}
	last := max(0, strings.LastIndexByte(path, '/'))
	if folder := strings.LastIndexByte(path[:last], '/'); folder >= 0 && h.assets.has(path[folder:]) {
		last = folder
	}
	h.assets.ServeHTTP(w, cutPath(r, last))
}

// cutPath returns a copy of the request whose path begins at index i.
func cutPath(r *http.Request, i int) *http.Request {
	if i <= 0 {
		return r
	}
	inner, u := *r, *r.URL
	u.Path, u.RawPath = u.Path[i:], ""
	inner.URL = &u
	return &inner
}
