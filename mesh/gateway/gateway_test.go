package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(t *testing.T, method, path, tag string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, http.NoBody)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	Handler("", true).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return string(text)
}

func TestFiles(t *testing.T) {
	for path, contentType := range map[string]string{
		"/mesh.js":   "text/javascript; charset=utf-8",
		"/mesh.mjs":  "text/javascript; charset=utf-8",
		"/mesh.d.ts": "application/typescript; charset=utf-8",
	} {
		got := request(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, got.StatusCode)
		require.Equal(t, contentType, got.Header.Get("Content-Type"))
		require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-cache", got.Header.Get("Cache-Control"))
		require.Equal(t, "*", got.Header.Get("Access-Control-Allow-Origin"))
		text := body(t, got)
		require.NotEmpty(t, text)
		require.EqualValues(t, len(text), got.ContentLength)

		head := request(t, http.MethodHead, path, "")
		require.Equal(t, http.StatusOK, head.StatusCode)
		require.Equal(t, got.Header, head.Header)
		require.Empty(t, body(t, head))

		tag := got.Header.Get("Etag")
		same := request(t, http.MethodGet, path, tag)
		require.Equal(t, http.StatusNotModified, same.StatusCode)
		require.Empty(t, body(t, same))
		require.Equal(t, http.StatusOK, request(t, http.MethodGet, path, `"other"`).StatusCode)

		post := request(t, http.MethodPost, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, post.StatusCode)
		require.Equal(t, "GET, HEAD", post.Header.Get("Allow"))
	}
	for _, path := range []string{"/mesh", "/mesh.js/", "/client/names.js", "/a/mesh.js", "/../mesh.js"} {
		require.Equal(t, http.StatusNotFound, request(t, http.MethodGet, path, "").StatusCode, path)
	}
}

// The limit is the project's own: people read the client, and small pages load it.
func TestFilesAreSmall(t *testing.T) {
	for path, f := range usual.clients {
		require.Less(t, len(f.content), 14<<10, path)
	}
}

func TestBothScriptsHaveTheSameClient(t *testing.T) {
	core := func(path string) string {
		text := string(usual.clients[path].content)
		from, to := strings.Index(text, "const QUEUE"), strings.Index(text, "function report (")
		require.Positive(t, from)
		require.Greater(t, to, from)
		return text[from:to]
	}
	require.Equal(t, core("/mesh.js"), core("/mesh.mjs"))
	require.NotContains(t, string(usual.clients["/mesh.js"].content), "CLIENT")
}

// TestAPathCannotLeaveItsString checks that a path cannot end the string that contains it in the scripts: the path
// comes from the options of a hub, and the scripts are code.
func TestAPathCannotLeaveItsString(t *testing.T) {
	for path, want := range map[string]string{
		"": `"./engine.io/"`, "/": `"./engine.io/"`, "/chat/": `"./chat/"`, "chat": `"./chat/"`, "/a/b": `"./a/b/"`, `/"+alert(1)+"`: `"./%22+alert%281%29+%22/"`, "/\n'`\\": `"./%0A%27%60%5C/"`, "/é?#": `"./%C3%A9%3F%23/"`,
	} {
		for _, at := range []string{"/mesh.js", "/mesh.mjs", "/page/hub.js"} {
			w := httptest.NewRecorder()
			Handler(path, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, at, http.NoBody))
			require.Contains(t, w.Body.String(), want, "%q", path)
			require.NotContains(t, w.Body.String(), "'./engine.io/'")
		}
	}
}
