package gateway

import (
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// pageFiles returns the files of the page: its document at /, and the other files at /page/.
func pageFiles(hub string) map[string]file {
	types := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	entries, err := fs.ReadDir(sources, "page")
	if err != nil {
		panic(err) // the folder is embedded, so this cannot happen
	}
	all := make(map[string]file)
	for _, e := range entries {
		name := "page/" + e.Name()
		at := "/" + name
		if e.Name() == "index.html" {
			at = "/"
		}
		all[at] = newFile(types[path.Ext(name)], locate(source(name), hub))
	}
	return all
}

func (f file) servePage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy(r.URL.Query().Get("hub")))
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	f.serve(w, r)
}

// policy returns the page's Content-Security-Policy. The page may load its own files, and connect to this server and to
// the hub in its address. No other page may embed it in a frame, because a frame can trick visitors into emitting
// events.
func policy(hub string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'" + origins(hub) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

var hostOfHub = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]{1,5})?$`)

// origins returns the sources in a policy for a hub, each with a space before it. It returns an empty string if the hub
// is at this server, or if its address is invalid. hub.js parses addresses in the same way.
func origins(hub string) string {
	hub = strings.TrimSpace(hub)
	if hub == "" || strings.HasPrefix(strings.TrimPrefix(hub, "."), "/") {
		return ""
	}
	if !strings.Contains(hub, "://") {
		hub = "http://" + hub
		if u, err := url.Parse(hub); err == nil && u.Port() == "" {
			u.Host += ":8888"
			hub = u.String()
		}
	}
	u, err := url.Parse(hub)
	if err != nil {
		return ""
	}
	web, socket := "http", "ws"
	switch u.Scheme { // url.Parse returns it in lower case
	case "http", "ws":
	case "https", "wss":
		web, socket = "https", "wss"
	default:
		return ""
	}
	switch {
	case hostOfHub.MatchString(u.Host):
		return " " + web + "://" + u.Host + " " + socket + "://" + u.Host
	case strings.HasPrefix(u.Host, "["):
		return " " + web + ": " + socket + ":" // a policy cannot name an IPv6 address
	default:
		return ""
	}
}
