// Package gateway is what a hub serves to browsers: a client of the mesh, as a plain script (/mesh.js) and as a module
// (/mesh.mjs) with its types (/mesh.d.ts). docs/browser.md says how to use them.
//
// Both scripts are made from the same sources, the folder client, when the program starts. Nothing is bundled or
// minified; only lines that are comments are left out.
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

//go:embed client
var sources embed.FS

// file is one of those that Handler serves.
type file struct {
	contentType string
	content     []byte
	tag         string
}

var files = map[string]file{
	"/mesh.js":   newFile("text/javascript", script("script.js")),
	"/mesh.mjs":  newFile("text/javascript", script("module.js")),
	"/mesh.d.ts": newFile("application/typescript", source("mesh.d.ts")),
}

func newFile(contentType, text string) file {
	sum := sha256.Sum256([]byte(text))
	return file{contentType + "; charset=utf-8", []byte(text), `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func source(name string) string {
	text, err := sources.ReadFile("client/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

const banner = "// A client of a mesh for browsers. What it offers: mesh.d.ts beside it. Comments: mesh/gateway/client in the source.\n"

// script puts the client into a frame, which says how it finds its own address and what it shows of itself.
func script(frame string) string {
	client := source("names.js") + "\n" + source("session.js") + "\n" + source("client.js")
	text := strings.Replace(source(frame), "CLIENT\n", client, 1)
	var b strings.Builder
	b.WriteString(banner)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimLeft(line, "\t"), "//") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Handler serves the files to GET and HEAD, and answers 404 to every other path.
//
// Any page may load them: they hold nothing but what is in this package, and ask for no credentials. Who may then
// connect is for the hub to say. Browsers keep them, and ask each time whether they have changed.
func Handler() http.Handler { return http.HandlerFunc(serve) }

// Serves tells whether Handler has a file at a path.
func Serves(path string) bool {
	_, ok := files[path]
	return ok
}

func serve(w http.ResponseWriter, r *http.Request) {
	f, ok := files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	// A module is fetched under the rules of CORS, and pages that isolate themselves ask for the other header.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", f.tag)
	if r.URL.Path == "/mesh.mjs" {
		h.Set("X-TypeScript-Types", "./mesh.d.ts") // where Deno looks for them
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
