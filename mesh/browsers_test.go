package mesh_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestAHubServesItsPage(t *testing.T) {
	hub := listen(t, mesh.Options{Page: true})
	status, body := ask(t, hub, http.MethodGet, "/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `<script type="module" src="page/page.js">`)
	status, _ = ask(t, hub, http.MethodGet, "/page/page.js")
	require.Equal(t, http.StatusOK, status)
	status, _ = ask(t, hub, http.MethodGet, "/mesh.mjs")
	require.Equal(t, http.StatusOK, status, "which the page loads")
}

func TestAHubServesItsPageOnlyOnRequest(t *testing.T) {
	o := mesh.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
	hub := listen(t, o)
	status, body := ask(t, hub, http.MethodGet, "/")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "This is the hub of a mesh. Its clients connect to /engine.io/\n", body)
	status, _ = ask(t, hub, http.MethodGet, "/page/page.js")
	require.Equal(t, http.StatusTeapot, status, "the path is the handler's")
	status, _ = ask(t, hub, http.MethodGet, "/mesh.mjs")
	require.Equal(t, http.StatusOK, status)

	mounted, err := mesh.NewHub(&o)
	require.NoError(t, err)
	defer mounted.Close()
	for path, want := range map[string]int{"/x/": 404, "/x/page/page.js": 404, "/x/mesh.mjs": 200} {
		rec := httptest.NewRecorder()
		mounted.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		require.Equal(t, want, rec.Code, path)
	}
}

// TestBrowserFilesUseTheHubsOwnPath checks the path in the served files. The default path is /engine.io/.
func TestBrowserFilesUseTheHubsOwnPath(t *testing.T) {
	for addr, want := range map[string]string{
		"http://localhost:0/a/b/": `"./a/b/"`, "http://localhost:0/c:d/%22'%3F<": `"./c:d/%22%27%3F%3C/"`, "localhost:0": `"./engine.io/"`,
	} {
		o := mesh.Options{Addr: addr, Page: true}
		hub := listen(t, o)
		mounted, err := mesh.NewHub(&o)
		require.NoError(t, err)
		defer mounted.Close()
		for _, path := range []string{"/mesh.js", "/mesh.mjs", "/page/hub.js"} {
			status, own := ask(t, hub, http.MethodGet, path)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, own, want)
			rec := httptest.NewRecorder()
			mounted.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/under"+path, http.NoBody))
			require.Equal(t, own, rec.Body.String(), "seen from where it is served")
		}
	}
}

func TestBrowsersReceivePresence(t *testing.T) {
	hub := listen(t, mesh.Options{})
	connect(t, hub, mesh.Options{})
	connect(t, hub, mesh.Options{HTTPClient: &http.Client{Transport: asBrowser{}}})
	nodes, err := hub.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 3)
	require.False(t, nodes[1].Browser)
	require.True(t, nodes[2].Browser)
}

// asBrowser sends requests with the User-Agent of a browser.
type asBrowser struct{}

func (asBrowser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	return http.DefaultTransport.RoundTrip(r)
}
