package interop

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// documented returns the configuration of a proxy in docs/engineio.md, with this machine's names in it.
func documented(t *testing.T, program string, names ...string) proxyKind {
	t.Helper()
	text, err := os.ReadFile("../docs/engineio.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```" + program + "\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, block, "no configuration of %s", program)
	config := string(block[1])
	names = append(names, "10.0.0.1:3000", "{{index .Backends 0}}", "10.0.0.2:3000", "{{index .Backends 1}}", "/etc/ssl/example.pem", "{{.PEM}}")
	for i := 0; i < len(names); i += 2 {
		require.Contains(t, config, names[i])
		config = strings.ReplaceAll(config, names[i], names[i+1])
	}
	if program == "nginx" {
		config = "daemon off;\nmaster_process off;\npid {{.Dir}}/pid;\nevents {}\nhttp {\naccess_log off;\n" +
			"client_body_temp_path {{.Dir}}/body;\nproxy_temp_path {{.Dir}}/proxy;\nfastcgi_temp_path {{.Dir}}/fastcgi;\n" +
			"uwsgi_temp_path {{.Dir}}/uwsgi;\nscgi_temp_path {{.Dir}}/scgi;\n" + config + "}\n"
	}
	return proxyKind{program: program, config: template.Must(template.New(program).Parse(config)), Proxied: Proxied{TLS: true}}
}

// The configurations that users are shown keep each session at its server, from the first poll through the upgrade.
func TestProxiesAsInTheDocumentation(t *testing.T) {
	t.Parallel()
	for _, kind := range []proxyKind{
		documented(t, "nginx", "listen 443", "listen {{.Listen}}", "/etc/ssl/example.key", "{{.PEM}}"),
		documented(t, "haproxy", "bind :443", "bind {{.Listen}}"),
	} {
		t.Run(kind.program, func(t *testing.T) {
			t.Parallel()
			Need(t, kind.program)
			var sessions [2]atomic.Int32
			var backends []string
			for i, name := range []string{"a-", "b-"} {
				engine := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
					sessions[i].Add(1)
					for {
						m, err := s.Read(ctx)
						if err != nil {
							return
						}
						_ = s.Write(ctx, m)
					}
				}), &engineio.ServerOptions{
					Revisions:  bothRevisions,
					GenerateID: func(*http.Request) (string, error) { return name + rand.Text(), nil },
				})
				web := httptest.NewServer(engine)
				t.Cleanup(web.Close)
				t.Cleanup(func() { require.NoError(t, engine.Close()) })
				backends = append(backends, hostOf(web.URL))
			}
			p, err := kind.start(t, backends...)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			for i := range 8 {
				jar, err := cookiejar.New(nil)
				require.NoError(t, err)
				s, err := engineio.Dial(ctx, p.url, &engineio.DialOptions{
					Revision:   bothRevisions[i%2],
					HTTPClient: &http.Client{Transport: newTransport(t), Jar: jar},
					Header:     http.Header{"Origin": {strings.TrimSuffix(p.url, "/engine.io/")}}, // as a page of that host
				})
				require.NoError(t, err)
				for n := 0; n < 3 || s.Transport() != engineio.WebSocket; n++ {
					require.NoError(t, s.Write(ctx, engineio.Text("here")))
					m, err := s.Read(ctx)
					require.NoError(t, err)
					require.Equal(t, "here", string(m.Data))
				}
				require.NoError(t, s.Close())
			}
			for i := range sessions {
				require.NotZero(t, sessions[i].Load(), "server %d", i)
			}
		})
	}
}
