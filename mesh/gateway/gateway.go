// Package gateway is what a hub serves to browsers: a client of the mesh, as a plain script (/mesh.js) and as a module
// (/mesh.mjs) with its types (/mesh.d.ts), and a page (/) that shows the mesh and uses that module. docs/browser.md says
// how to use them.
//
// Both scripts are made from the same sources, the folder client, when the program starts. Nothing is bundled or
// minified; only lines that are comments are left out. The page is the folder page as it stands.
package gateway

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
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

// clients are what other pages load too.
var clients = map[string]file{
	"/mesh.js":   newFile("text/javascript", script("script.js")),
	"/mesh.mjs":  newFile("text/javascript", script("module.js")),
	"/mesh.d.ts": newFile("application/typescript", source("client/mesh.d.ts")),
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
func script(frame string) string {
	client := source("client/names.js") + "\n" + source("client/session.js") + "\n" + source("client/client.js")
	text := strings.Replace(source("client/"+frame), "CLIENT\n", client, 1)
	var b strings.Builder
	b.WriteString(banner)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimLeft(line, "\t"), "//") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Handler serves the page and the client to GET and HEAD, and answers 404 to every other path.
//
// Any page may load the client: it holds nothing but what is in this package, and asks for no credentials. Who may then
// connect is for the hub to say. Browsers keep the files, and ask each time whether they have changed.
//
// A hub serves the same by itself. Where this is served by another server, the page takes the hub from its address,
// ?hub=URL, and that hub has to admit pages of this server.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, ok := pages[r.URL.Path]; ok {
			f.servePage(w, r)
			return
		}
		serveClient(w, r)
	})
}

// ClientHandler is Handler without the page.
func ClientHandler() http.Handler { return http.HandlerFunc(serveClient) }

// Serves tells whether Handler has something at a path.
func Serves(path string) bool {
	_, ok := pages[path]
	return ok || ServesClient(path)
}

// ServesClient tells whether ClientHandler has something at a path.
func ServesClient(path string) bool {
	_, ok := clients[path]
	return ok
}

func serveClient(w http.ResponseWriter, r *http.Request) {
	f, ok := clients[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
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
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
