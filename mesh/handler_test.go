package mesh_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// ask sends a request to a hub's own listener.
func ask(t testing.TB, hub *mesh.Node, method, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(meshtest.Context(t), method, "http://"+hub.Addr()+path, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestHandlerGetsRequestsForOtherPaths(t *testing.T) {
	hub := listen(t, mesh.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, r.Method, " ", r.URL)
	})})
	for _, path := range []string{"/metrics?x=1", "/engine.io.js", "/engine.iox/", "/a/engine.io/"} {
		status, body := ask(t, hub, http.MethodPut, path)
		require.Equal(t, http.StatusTeapot, status)
		require.Equal(t, "PUT "+path, body)
	}
	for path, want := range map[string]int{"/": http.StatusOK, "/mesh.js": http.StatusOK, "/engine.io/": http.StatusBadRequest, "/engine.io": http.StatusBadRequest} {
		status, _ := ask(t, hub, http.MethodGet, path)
		require.Equal(t, want, status, path)
	}
	status, _ := ask(t, listen(t, mesh.Options{}), http.MethodGet, "/metrics")
	require.Equal(t, http.StatusNotFound, status)
}
