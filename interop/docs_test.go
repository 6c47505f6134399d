package interop

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// codeBlock is a block of code in a page of the documentation.
type codeBlock struct{ language, text string }

var (
	codeBlocks  = regexp.MustCompile("(?ms)^( *)```(\\w*)\n(.*?)^ *```$")
	indentation = regexp.MustCompile(`(?m)^ *`)
)

// blocksOf returns the blocks of code of a page. It includes the blocks in lists.
func blocksOf(t *testing.T, page string) (all []codeBlock) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, b := range codeBlocks.FindAllStringSubmatch(string(text), -1) {
		indent := b[1]
		all = append(all, codeBlock{b[2], indentation.ReplaceAllStringFunc(b[3], func(have string) string { return strings.TrimPrefix(have, indent) })})
	}
	return all
}

// blocks returns the blocks of code of a page in a language.
func blocks(t *testing.T, page, language string) (all []string) {
	t.Helper()
	for _, b := range blocksOf(t, page) {
		if b.language == language {
			all = append(all, b.text)
		}
	}
	require.NotEmpty(t, all, "%s has no block of %s", page, language)
	return all
}

// buildSource builds a program from its source on a page, and returns the path of the program.
func buildSource(t *testing.T, source string) (exe string) {
	t.Helper()
	interoptest.Need(t, "go")
	root, err := moduleRoot()
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	exe = filepath.Join(dir, "program.exe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", exe, file)
	cmd.Dir = root // the program has the dependencies of this module
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return exe
}

// documented turns a configuration of a proxy on a page into a configuration for this machine. names holds pairs: a
// text of the page and its replacement.
func documented(t *testing.T, program, config string, names ...string) proxyKind {
	t.Helper()
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

// Pairs of a text of the documentation and its replacement.
var (
	nginxNames   = []string{"listen 443", "listen {{.Listen}}", "/etc/ssl/example.pem", "{{.PEM}}", "/etc/ssl/example.key", "{{.PEM}}"}
	haproxyNames = []string{"bind :443", "bind {{.Listen}}", "/etc/ssl/example.pem", "{{.PEM}}"}
)

// TestProxiesAsInTheDocumentation checks that the configurations on the page keep each session at its server, from the
// first poll through the upgrade.
func TestProxiesAsInTheDocumentation(t *testing.T) {
	t.Parallel()
	const page = "../docs/engineio.md"
	servers := []string{"10.0.0.1:3000", "{{index .Backends 0}}", "10.0.0.2:3000", "{{index .Backends 1}}"}
	for _, kind := range []proxyKind{
		documented(t, "nginx", blocks(t, page, "nginx")[0], slices.Concat(servers, nginxNames)...),
		documented(t, "haproxy", blocks(t, page, "haproxy")[0], slices.Concat(servers, haproxyNames)...),
	} {
		t.Run(kind.program, func(t *testing.T) {
			t.Parallel()
			interoptest.Need(t, kind.program)
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
