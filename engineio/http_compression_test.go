package engineio_test

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestAcceptedCoding(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{CompressionThreshold: 1})
	ts.client.Transport.(*http.Transport).DisableCompression = true // net/http would add its own header
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
		resp := ts.request("GET", polling4, nil, "Accept-Encoding", header)
		require.Equal(t, 200, resp.status)
		require.Equal(t, want, resp.header.Get("Content-Encoding"), "%.60q", header)
	}
}

// unpack decompresses a response by its Content-Encoding.
func unpack(t *testing.T, resp response) string {
	t.Helper()
	var r io.Reader
	var err error
	switch coding := resp.header.Get("Content-Encoding"); coding {
	case "":
		return resp.body
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(resp.body))
	case "deflate": // the zlib format
		r, err = zlib.NewReader(strings.NewReader(resp.body))
	default:
		require.Fail(t, "unknown coding", coding)
	}
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

func TestAnswersToPollsAreCompressed(t *testing.T) {
	long := strings.Repeat("hello ", 500)
	asIs := func(m engineio.Message) engineio.Message { m.NoCompression = true; return m }
	for _, c := range []struct {
		name, accept, want string
		opts               engineio.ServerOptions
		messages           []engineio.Message
	}{
		{"gzip", "gzip", "gzip", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long)}},
		{"deflate", "deflate", "deflate", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long)}},
		{"binary", "gzip", "gzip", engineio.ServerOptions{}, []engineio.Message{engineio.Binary([]byte(long))}},
		{"several short ones", "gzip", "gzip", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long[:600]), engineio.Text(long[:600])}},
		{"not asked for", "", "", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long)}},
		{"refused", "gzip;q=0", "", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long)}},
		{"off", "gzip", "", engineio.ServerOptions{NoHTTPCompression: true}, []engineio.Message{engineio.Text(long)}},
		{"below the threshold", "gzip", "", engineio.ServerOptions{}, []engineio.Message{engineio.Text(long[:1000])}},
		{"at the threshold", "gzip", "gzip", engineio.ServerOptions{CompressionThreshold: 100}, []engineio.Message{engineio.Text(long[:99])}},
		{"below another threshold", "gzip", "", engineio.ServerOptions{CompressionThreshold: 5000}, []engineio.Message{engineio.Text(long)}},
		{"all as they are", "gzip", "", engineio.ServerOptions{}, []engineio.Message{asIs(engineio.Text(long)), asIs(engineio.Text(long))}},
		{"one as it is", "gzip", "gzip", engineio.ServerOptions{}, []engineio.Message{asIs(engineio.Text(long)), engineio.Text("x")}},
		{"prepared as it is", "gzip", "", engineio.ServerOptions{}, []engineio.Message{engineio.Prepare(asIs(engineio.Text(long)))}},
		{"prepared", "gzip", "gzip", engineio.ServerOptions{}, []engineio.Message{engineio.Prepare(engineio.Text(long))}},
	} {
		for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
			t.Run(fmt.Sprint(c.name, ", revision ", rev), func(t *testing.T) {
				opts := c.opts
				opts.Revisions = bothRevisions().Revisions
				ts := newTestServer(t, say(c.messages...), &opts)
				ts.client.Transport.(*http.Transport).DisableCompression = true // net/http would decompress by itself
				pc := ts.openPolling(rev)
				var header []string
				if c.accept != "" {
					header = []string{"Accept-Encoding", c.accept}
				}
				resp := ts.request("GET", pc.query, nil, header...)
				require.Equal(t, 200, resp.status)
				require.Equal(t, c.want, resp.header.Get("Content-Encoding"))
				require.Equal(t, fmt.Sprint(len(resp.body)), resp.header.Get("Content-Length"))
				plain := unpack(t, resp)
				var all []string
				for _, m := range c.messages {
					if all = append(all, "4"+string(m.Data)); m.Binary && rev == engineio.Revision3 {
						require.Equal(t, "application/octet-stream", resp.header.Get("Content-Type"))
						require.Equal(t, "\x01\x03\x00\x00\x01\xff\x04"+long, plain)
						return
					}
				}
				require.Equal(t, "text/plain; charset=UTF-8", resp.header.Get("Content-Type"))
				if !c.messages[0].Binary {
					require.Equal(t, pc.payload(all...), plain)
				}
				if c.want != "" {
					require.Less(t, len(resp.body), len(plain))
				}
				require.Empty(t, pc.post(pc.payload("4"+long)).header.Get("Content-Encoding"), "a POST's answer is two bytes")
			})
		}
	}
}

// A reused compressor holds no data of its earlier use.
func TestCompressorsAreUsedAgain(t *testing.T) {
	for _, name := range []string{"gzip", "deflate"} {
		for i := range 3 {
			body := strings.Repeat(fmt.Sprint("body ", i), 300)
			resp := response{header: http.Header{"Content-Encoding": {name}}, body: string(engineio.Compress(name, []byte(body)))}
			require.Equal(t, body, unpack(t, resp))
		}
		if !raceDetector {
			require.Less(t, testing.AllocsPerRun(100, func() { engineio.Compress(name, make([]byte, 2000)) }), 12.0)
		}
	}
}

func TestClientReadsCompressedPolls(t *testing.T) {
	long := strings.Repeat("hello ", 5000)
	ts := newTestServer(t, say(engineio.Text(long)), nil)
	s, err := engineio.Dial(t.Context(), strings.TrimSuffix(ts.base, "/"), &engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}, HTTPClient: ts.client})
	require.NoError(t, err)
	m, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, long, string(m.Data))
	s.Abort(nil)
}
