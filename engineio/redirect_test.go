package engineio_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// redirecting returns a server that redirects each request to the URL that the function to returns.
func redirecting(t *testing.T, status int, to func(r *http.Request) string) *httptest.Server {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to(r))
		w.WriteHeader(status)
	}))
	t.Cleanup(front.Close)
	return front
}

func requireEchoed(t *testing.T, s *engineio.Socket) {
	t.Helper()
	ctx := testContext(t)
	for i := range 3 {
		want := fmt.Sprint("message ", i)
		require.NoError(t, s.Write(ctx, engineio.Text(want)))
		m, err := s.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(m.Data))
	}
}

// A server that redirects the request that opens a session usually redirects its whole site. The POSTs of the session
// must not become GETs, and no Referer may show a session ID.
func TestRedirectedSessionWorksAtItsNewAddress(t *testing.T) {
	t.Parallel()
	forms := map[string]func(base string, r *http.Request) string{
		"the same path": func(base string, r *http.Request) string { return base + r.URL.RequestURI() },
		"no query":      func(base string, r *http.Request) string { return base + r.URL.Path },
		"its own query": func(base string, r *http.Request) string { return base + r.URL.Path + "?lane=2" },
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for form, location := range forms {
			for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.Polling, engineio.WebSocket}, {engineio.WebSocket}} {
				t.Run(fmt.Sprint(status, " ", form, " ", transports), func(t *testing.T) {
					t.Parallel()
					var requests recorder[*http.Request]
					back, asked := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests))), 0
					front := redirecting(t, status, func(r *http.Request) string {
						asked++
						return location(back.url, r)
					})
					s, err := engineio.Dial(testContext(t), front.URL+"/engine.io/?user=ann", &engineio.DialOptions{Transports: transports})
					require.NoError(t, err)
					requireEchoed(t, s)
					require.NoError(t, s.Close())
					require.Equal(t, 1, asked, "only the first request goes to the old address")
					for _, r := range requests.values() {
						require.Empty(t, r.Referer())
						require.Equal(t, []string{"ann"}, r.URL.Query()["user"])
						require.LessOrEqual(t, len(r.URL.Query()["t"]), 1)
						if form == "its own query" {
							require.Equal(t, []string{"2"}, r.URL.Query()["lane"])
						}
					}
				})
			}
		}
	}
}

// A client does not send its credentials to a host that its user did not name. The error shows the target of the
// redirect.
func TestRedirectThatIsNotFollowedIsNamed(t *testing.T) {
	var requests recorder[*http.Request]
	back := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)))
	elsewhere := strings.Replace(back.url, "127.0.0.1", "localhost", 1)
	var self *httptest.Server
	for name, c := range map[string]struct {
		to   func(r *http.Request) string
		want string
	}{
		"another host": {func(r *http.Request) string { return elsewhere + r.URL.RequestURI() }, elsewhere + "/engine.io/"},
		"with a password": {func(r *http.Request) string {
			return strings.Replace(back.url, "//", "//u:s3cret@", 1) + r.URL.RequestURI()
		}, back.url + "/engine.io/"},
		"a loop":             {func(r *http.Request) string { return self.URL + r.URL.RequestURI() }, "/engine.io/"},
		"a page for a login": {func(*http.Request) string { return back.url + "/login" }, "404"},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}} {
			t.Run(fmt.Sprint(name, transports), func(t *testing.T) {
				self = redirecting(t, http.StatusFound, c.to)
				_, err := engineio.Dial(testContext(t), self.URL, &engineio.DialOptions{Transports: transports})
				var refused *engineio.HandshakeError
				require.ErrorAs(t, err, &refused)
				require.ErrorContains(t, err, "a redirect to http://")
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "EIO=")
				require.NotContains(t, err.Error(), "s3cret")
			})
		}
	}
	for _, r := range requests.values() {
		require.Equal(t, "/login", r.URL.Path)
	}
}

func TestNoRedirectLeadsOutOfTLS(t *testing.T) {
	var requests recorder[*http.Request]
	back := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)))
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, back.url+r.URL.RequestURI(), http.StatusPermanentRedirect)
	}))
	defer front.Close()
	_, err := engineio.Dial(testContext(t), front.URL, &engineio.DialOptions{HTTPClient: front.Client()})
	require.ErrorContains(t, err, "a redirect to "+back.url+"/engine.io/")
	require.Empty(t, requests.values())
}

func TestErrorBehindARedirectNamesIt(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	front := redirecting(t, http.StatusMovedPermanently, func(r *http.Request) string { return secure.URL + r.URL.RequestURI() })
	_, err := engineio.Dial(testContext(t), front.URL, nil)
	var redirected *engineio.RedirectError
	require.ErrorAs(t, err, &redirected)
	require.Equal(t, secure.URL+"/engine.io/", redirected.To)
	require.ErrorContains(t, err, `Get "`+front.URL+`/engine.io/": after a redirect to `+secure.URL+"/engine.io/: ")
	require.ErrorContains(t, err, "certificate")
}

// A request of an open session is never redirected, because the session's ID is only for its own server.
func TestRedirectInASessionEndsItAndIsNamed(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			var requests recorder[*http.Request]
			back := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)))
			front := newTestServer(t, echoHandler, nil, behind(intercept(func(w http.ResponseWriter, r *http.Request) bool {
				moved := r.URL.Query().Has("sid") && r.Method == method
				if moved {
					http.Redirect(w, r, back.url+r.URL.RequestURI(), http.StatusTemporaryRedirect)
				}
				return moved
			})))
			s, err := engineio.Dial(testContext(t), front.url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}})
			require.NoError(t, err)
			if method == http.MethodPost {
				require.NoError(t, s.Write(testContext(t), engineio.Text("x")))
			}
			_, err = s.Read(testContext(t))
			require.ErrorContains(t, err, "307: a redirect to "+back.url+"/engine.io/")
			require.NotContains(t, err.Error(), s.ID())
			require.Empty(t, requests.values())
		})
	}
}

// The CheckRedirect of the user's client can also reject a redirect.
func TestOwnCheckRedirectIsAsked(t *testing.T) {
	var requests recorder[*http.Request]
	back := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)))
	front := redirecting(t, http.StatusFound, func(r *http.Request) string { return back.url + r.URL.RequestURI() })
	never := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, err := engineio.Dial(testContext(t), front.URL, &engineio.DialOptions{HTTPClient: never})
	require.ErrorContains(t, err, "302: a redirect to "+back.url)
	require.Empty(t, requests.values())
}
