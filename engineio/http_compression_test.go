package engineio

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAcceptedCoding(t *testing.T) {
	for header, want := range map[string]string{
		"":                                    "",
		"identity":                            "",
		"br":                                  "",
		"gzip":                                "gzip",
		"deflate":                             "deflate",
		"x-gzip":                              "",
		"GZip":                                "gzip",
		"gzip, deflate, br, zstd":             "gzip",
		"deflate, gzip":                       "deflate",
		"deflate,gzip;q=0.9":                  "deflate",
		"deflate;q=0.5, gzip;q=0.9":           "gzip",
		"deflate;q=0.50 , gzip;q=0.5":         "deflate",
		"gzip;q=0":                            "",
		"gzip;q=0, deflate":                   "deflate",
		"gzip;q=0, deflate;q=0":               "",
		"gzip;q=0.001":                        "gzip",
		"*":                                   "gzip",
		"*;q=0":                               "",
		"*;q=0.1, deflate;q=0.1":              "deflate", // because it is named
		"*, gzip;q=0":                         "deflate",
		"gzip;q=0, *":                         "deflate",
		"*;q=0.2, gzip;q=0.1":                 "deflate",
		"identity;q=1, gzip;q=0.2":            "gzip", // as in the reference
		"gzip;q=NaN":                          "",
		"gzip;q=x":                            "",
		"gzip;q=-1":                           "",
		"gzip;level=9;q=0":                    "",
		"gzip; Q=0":                           "",
		",,;q=1, ,gzip":                       "gzip",
		"gzipdeflate":                         "",
		strings.Repeat(",", 10_000):           "",
		strings.Repeat("a;q=1,", 99) + "gzip": "gzip",
	} {
		got := ""
		if c := acceptedCoding(header); c != nil {
			got = c.name
		}
		require.Equal(t, want, got, "%.60q", header)
	}
}

// unpack decompresses a response by its Content-Encoding.
func unpack(t *testing.T, a answer) string {
	t.Helper()
	var r io.Reader
	var err error
	switch coding := a.header.Get("Content-Encoding"); coding {
	case "":
		return a.body
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(a.body))
	case "deflate": // the zlib format
		r, err = zlib.NewReader(strings.NewReader(a.body))
	default:
		require.Fail(t, "unknown coding", coding)
	}
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// say returns a handler that writes messages in one piece and then waits for the end.
func say(messages ...Message) Handler {
	return HandlerFunc(func(ctx context.Context, s *Socket) {
		_ = s.TryWrite(messages...)
		_, _ = s.Read(ctx)
	})
}

func TestAnswersToPollsAreCompressed(t *testing.T) {
	long := strings.Repeat("hello ", 500)
	asIs := func(m Message) Message { m.NoCompression = true; return m }
	for _, c := range []struct {
		name, accept, want string
		opts               ServerOptions
		messages           []Message
	}{
		{"gzip", "gzip", "gzip", ServerOptions{}, []Message{Text(long)}},
		{"deflate", "deflate", "deflate", ServerOptions{}, []Message{Text(long)}},
		{"binary", "gzip", "gzip", ServerOptions{}, []Message{Binary([]byte(long))}},
		{"several short ones", "gzip", "gzip", ServerOptions{}, []Message{Text(long[:600]), Text(long[:600])}},
		{"not asked for", "", "", ServerOptions{}, []Message{Text(long)}},
		{"refused", "gzip;q=0", "", ServerOptions{}, []Message{Text(long)}},
		{"off", "gzip", "", ServerOptions{NoHTTPCompression: true}, []Message{Text(long)}},
		{"below the threshold", "gzip", "", ServerOptions{}, []Message{Text(long[:1000])}},
		{"at the threshold", "gzip", "gzip", ServerOptions{CompressionThreshold: 100}, []Message{Text(long[:99])}},
		{"below another threshold", "gzip", "", ServerOptions{CompressionThreshold: 5000}, []Message{Text(long)}},
		{"all as they are", "gzip", "", ServerOptions{}, []Message{asIs(Text(long)), asIs(Text(long))}},
		{"one as it is", "gzip", "gzip", ServerOptions{}, []Message{asIs(Text(long)), Text("x")}},
		{"prepared as it is", "gzip", "", ServerOptions{}, []Message{Prepare(asIs(Text(long)))}},
		{"prepared", "gzip", "gzip", ServerOptions{}, []Message{Prepare(Text(long))}},
	} {
		for _, rev := range []Revision{Revision3, Revision4} {
			t.Run(fmt.Sprint(c.name, ", revision ", rev), func(t *testing.T) {
				opts := c.opts
				opts.Revisions = bothRevisions().Revisions
				w := newSite(t, say(c.messages...), &opts)
				w.client.Transport.(*http.Transport).DisableCompression = true // net/http would decompress by itself
				v := w.open(rev)
				var header []string
				if c.accept != "" {
					header = []string{"Accept-Encoding", c.accept}
				}
				a := w.ask("GET", v.query, nil, header...)
				require.Equal(t, 200, a.status)
				require.Equal(t, c.want, a.header.Get("Content-Encoding"))
				require.Equal(t, fmt.Sprint(len(a.body)), a.header.Get("Content-Length"))
				plain := unpack(t, a)
				var all []string
				for _, m := range c.messages {
					if all = append(all, "4"+string(m.Data)); m.Binary && rev == Revision3 {
						require.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
						require.Equal(t, "\x01\x03\x00\x00\x01\xff\x04"+long, plain)
						return
					}
				}
				require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
				if !c.messages[0].Binary {
					require.Equal(t, v.framed(all...), plain)
				}
				if c.want != "" {
					require.Less(t, len(a.body), len(plain))
				}
				require.Empty(t, v.post(v.framed("4"+long)).header.Get("Content-Encoding"), "a POST's answer is two bytes")
			})
		}
	}
}

// A reused compressor holds no data of its earlier use.
func TestCompressorsAreUsedAgain(t *testing.T) {
	for _, c := range httpCodings {
		for i := range 3 {
			body := strings.Repeat(fmt.Sprint("body ", i), 300)
			a := answer{header: http.Header{"Content-Encoding": {c.name}}, body: string(c.compress([]byte(body)))}
			require.Equal(t, body, unpack(t, a))
		}
		if !raceDetector {
			require.Less(t, testing.AllocsPerRun(100, func() { c.compress(make([]byte, 2000)) }), 12.0)
		}
	}
}

func TestClientReadsCompressedPolls(t *testing.T) {
	long := strings.Repeat("hello ", 5000)
	w := newSite(t, say(Text(long)), nil)
	s, err := Dial(t.Context(), strings.TrimSuffix(w.base, "/"), &DialOptions{Transports: []Transport{Polling}, HTTPClient: w.client})
	require.NoError(t, err)
	m, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, long, string(m.Data))
	s.Abort(nil)
}
