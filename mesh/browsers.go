package mesh

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/bigcompany/mesh/mesh/gateway"
)

// forBrowsers is what a hub serves besides Engine.IO: the client for browsers, and the page unless it is not wanted.
type forBrowsers struct {
	path string // of Engine.IO
	page bool
}

var (
	clientAndPage = gateway.Handler()
	clientOnly    = gateway.ClientHandler()
)

func (b forBrowsers) has(path string) bool {
	return gateway.ServesClient(path) || b.page && gateway.Serves(path)
}

// ServeHTTP answers 404 to paths that it does not have.
func (b forBrowsers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.page {
		clientOnly.ServeHTTP(w, r)
		return
	}
	// The page finds the hub at the usual path, or has to be told. Relative, because of prefixes that were cut off.
	if r.URL.Path == "/" && b.path != "/engine.io" && r.URL.RawQuery == "" {
		w.Header().Set("Location", "?hub="+url.QueryEscape("."+b.path+"/"))
		w.WriteHeader(http.StatusFound)
		return
	}
	clientAndPage.ServeHTTP(w, r)
}

// serveMounted serves the hub in somebody else's server. What comes before the paths that it knows does not matter.
func (h *hub) serveMounted(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if i := strings.LastIndex(path+"/", h.path+"/"); i >= 0 {
		h.server.ServeHTTP(w, from(r, i))
		return
	}
	last := max(0, strings.LastIndexByte(path, '/'))
	if folder := strings.LastIndexByte(path[:last], '/'); folder >= 0 && h.browsers.has(path[folder:]) {
		last = folder
	}
	h.browsers.ServeHTTP(w, from(r, last))
}

// from returns the request without what comes before a place in its path.
func from(r *http.Request, i int) *http.Request {
	if i <= 0 {
		return r
	}
	inner, u := *r, *r.URL
	u.Path, u.RawPath = u.Path[i:], ""
	inner.URL = &u
	return &inner
}
