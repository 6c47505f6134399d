// Package gateway is what a hub serves to browsers: a client of the mesh, as a plain script (/mesh.js) and as a module
// (/mesh.mjs) with its types (/mesh.d.ts), and a page (/) that shows the mesh and uses that module. docs/browser.md says
// how to use them.
//
// Both scripts are made from the same sources, the folder client, when the program starts. Nothing is bundled or
// minified; only lines that are comments are left out. The page is the folder page as it stands.
package gateway

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

//go:embed client page
var sources embed.FS

// file is one of those that a handler serves.
type file struct {
	contentType string
	content     []byte
	tag         string
}

// site is the files for hubs whose Engine.IO is at one path, by the path of each file.
type site struct {
	clients map[string]file // what other pages load too
	pages   map[string]file
}

// usual is the site of most hubs, and that which says what paths there are.
var usual = newSite(usualPath)

const usualPath = "/engine.io/"

// newSite makes the files for hubs whose Engine.IO is at a path, seen from where the files are served.
func newSite(path string) site {
	return site{
		clients: map[string]file{
			"/mesh.js":   newFile("text/javascript", script("script.js", path)),
			"/mesh.mjs":  newFile("text/javascript", script("module.js", path)),
			"/mesh.d.ts": newFile("application/typescript", source("client/mesh.d.ts")),
		},
		pages: pageFiles(path),
	}
}

func newFile(contentType, text string) file {
	sum := sha256.Sum256([]byte(text))
	return file{contentType + "; charset=utf-8", []byte(text), `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func source(name string) string {
	text, err := sources.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

const banner = "// A client of a mesh for browsers. What it offers: mesh.d.ts beside it. Comments: mesh/gateway/client in the source.\n"

// script puts the client into a frame, which says how it finds its own address and what it shows of itself.
func script(frame, path string) string {
	client := source("client/names.js") + "\n" + source("client/session.js") + "\n" + source("client/client.js")
	text := strings.Replace(source("client/"+frame), "CLIENT\n", locate(client, path), 1)
	var b strings.Builder
	b.WriteString(banner)
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " // ")
		if !strings.HasPrefix(strings.TrimLeft(code, "\t"), "//") {
			b.WriteString(code + "\n")
		}
	}
	return b.String()
}

// locate has a source look for the hub's Engine.IO at a path. The source has the usual one, so that it is good as it stands.
func locate(source, path string) string {
	u := url.URL{Path: "." + path}
	quoted, err := json.Marshal(u.EscapedPath())
	if err != nil {
		panic(err) // it is a string
	}
	return strings.Replace(source, "'."+usualPath+"'", string(quoted), 1)
}

// Handler serves the page and the client to GET and HEAD, and answers 404 to every other path.
//
// Any page may load the client: it holds nothing but what is in this package, and asks for no credentials. Who may then
// connect is for the hub to say. Browsers keep the files, and ask each time whether they have changed.
//
// A hub serves the same by itself. Where this is served by another server, the page takes the hub from its address,
// ?hub=URL, and that hub has to admit pages of this server.
func Handler() http.Handler { return usual.handler(true) }

// ClientHandler is Handler without the page.
func ClientHandler() http.Handler { return usual.handler(false) }

// HandlerFor is Handler, or without page ClientHandler, for a hub whose Engine.IO is not at /engine.io/ beside the files,
// but at another path from there, such as /chat/. What it serves looks for the hub there, unless it is told of another one.
func HandlerFor(path string, page bool) http.Handler {
	path = "/" + strings.Trim(path, "/") + "/"
	if path == "//" || path == usualPath {
		return usual.handler(page)
	}
	return newSite(path).handler(page)
}

// Serves tells whether Handler has something at a path.
func Serves(path string) bool {
	_, ok := usual.pages[path]
	return ok || ServesClient(path)
}

// ServesClient tells whether ClientHandler has something at a path.
func ServesClient(path string) bool {
	_, ok := usual.clients[path]
	return ok
}

// writeTimeout bounds the response to a client that does not read.
const writeTimeout = 30 * time.Second

func (s site) handler(page bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every ResponseWriter can
		defer func() {
			_ = rc.Flush()                       // a broken connection ends by itself
			_ = rc.SetWriteDeadline(time.Time{}) // the connection may go on to another handler
		}()
		if f, ok := s.pages[r.URL.Path]; ok && page {
			f.servePage(w, r)
		} else if f, ok := s.clients[r.URL.Path]; ok {
			f.serveClient(w, r)
		} else {
			http.NotFound(w, r)
		}
	})
}

func (f file) serveClient(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// A module is fetched under the rules of CORS, and pages that isolate themselves ask for the other header.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.URL.Path == "/mesh.mjs" {
		h.Set("X-TypeScript-Types", "./mesh.d.ts") // where Deno looks for them
	}
	f.serve(w, r)
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", f.tag)
	if f.hasTag(r.Header["If-None-Match"]) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(f.content)))
	if r.Method == http.MethodGet {
		// http.ServeContent would copy this through a buffer of 32 KB, and deepen the stack that an idle connection keeps.
		_, _ = w.Write(f.content) // a broken connection ends by itself
	}
}

// hasTag reports whether one of the lists of entity tags has the file's.
func (f file) hasTag(lists []string) bool {
	for tag := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == f.tag || tag == "*" {
			return true
		}
	}
	return false
}
