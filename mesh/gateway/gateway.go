// Package gateway has the files that a hub serves to browsers: a client of the mesh, as a plain script (/mesh.js) and
// as a module (/mesh.mjs) with its types (/mesh.d.ts), and a page (/) that shows the mesh and uses that module.
// docs/browser.md describes their use.
//
// The program makes both scripts from the sources in the folder client when it starts. It does not bundle or minify
// them, and only removes comments. The page is the unchanged content of the folder page.
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

// file is a file that a handler serves.
type file struct {
	contentType string
	content     []byte
	tag         string
}

// site holds the files for hubs whose Engine.IO is at one path, by the path of each file.
type site struct {
	clients map[string]file // other pages load these files, too
	pages   map[string]file
}

// usual is the site for the default path. It also defines which paths exist.
var usual = newSite(usualPath)

const usualPath = "/engine.io/"

// newSite makes the files for hubs whose Engine.IO is at a path, relative to the place where the files are served.
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
		panic(err) // the file is embedded, so this cannot happen
	}
	return string(text)
}

const banner = "// A client of a mesh for browsers. Its API: mesh.d.ts beside it. Comments: mesh/gateway/client in the source.\n"

// script inserts the client into a frame: script.js or module.js. The frame finds the address of the script and exports
// the client's names.
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

// locate replaces the path of the hub's Engine.IO in a source. The source itself has the default path, so that it also
// works unchanged.
func locate(source, path string) string {
	u := url.URL{Path: "." + path}
	quoted, err := json.Marshal(u.EscapedPath())
	if err != nil {
		panic(err) // a string, so this cannot happen
	}
	return strings.Replace(source, "'."+usualPath+"'", string(quoted), 1)
}

// Handler serves the client, and the page if page is true, in response to GET and HEAD. It responds with status 404 to
// all other paths. The served client connects to the hub whose Engine.IO is at hubPath beside the files, unless it gets
// the address of another hub. An empty hubPath means /engine.io/.
//
// Any page may load the client: it contains only files of this package, and needs no credentials. The hub then decides
// which pages may connect. Browsers cache the files, and ask each time whether they have changed.
//
// A hub serves the same files. If another server serves them, the page takes the hub from its own address, ?hub=URL,
// and that hub must admit pages of this server.
func Handler(hubPath string, page bool) http.Handler {
	hubPath = "/" + strings.Trim(hubPath, "/") + "/"
	if hubPath == "//" || hubPath == usualPath {
		return usual.handler(page)
	}
	return newSite(hubPath).handler(page)
}

// Serves reports whether a Handler has a file for a path.
func Serves(path string, page bool) bool {
	_, client := usual.clients[path]
	_, ofPage := usual.pages[path]
	return client || page && ofPage
}

// writeTimeout bounds the time for a response to a client that does not read.
const writeTimeout = 30 * time.Second

func (s site) handler(page bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every ResponseWriter supports it
		defer func() {
			_ = rc.Flush()                       // a broken connection ends without it
			_ = rc.SetWriteDeadline(time.Time{}) // another handler may use the connection next
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
	// Browsers load a module only with the CORS header. Pages with cross-origin isolation require the other header.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.URL.Path == "/mesh.mjs" {
		h.Set("X-TypeScript-Types", "./mesh.d.ts") // for Deno
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
		// http.ServeContent would copy this through a buffer of 32 KB, and grow the stack that an idle connection
		// keeps.
		_, _ = w.Write(f.content) // a broken connection ends without it
	}
}

// hasTag reports whether one of the lists of entity tags contains the tag of the file.
func (f file) hasTag(lists []string) bool {
	for tag := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == f.tag || tag == "*" {
			return true
		}
	}
	return false
}
