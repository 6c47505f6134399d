package engineio

import (
	"crypto/tls"
	"net/http"
	"net/url"
)

// opening is what is kept of the request that opened a session. An *http.Request would cost an idle session 2 KB more,
// even a trimmed one 400 bytes.
type opening struct {
	path, query, proto, host, remoteAddr string

	tls    *tls.ConnectionState
	header []string // names and values in turn
}

// maxOpening bounds what a session keeps of the request that opened it, in bytes. It is four times what Node.js takes as
// header; net/http takes a megabyte.
const maxOpening = 64 << 10

func newOpening(r *http.Request) *opening {
	o := &opening{
		path: r.URL.Path, query: r.URL.RawQuery, proto: r.Proto, host: r.Host, remoteAddr: r.RemoteAddr,
		tls: r.TLS,
	}
	for k, values := range r.Header {
		switch k {
		case "Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions",
			"Accept-Encoding", "Content-Type", "Content-Length", "Accept", "Pragma", "Cache-Control":
			continue // they concern the connection or the one answer
		}
		for _, v := range values {
			o.header = append(o.header, k, v)
		}
	}
	return o
}

// size is roughly what o costs, in bytes.
func (o *opening) size() int {
	const perString = 16
	n := len(o.path) + len(o.query) + len(o.host) + len(o.header)*perString
	for _, s := range o.header {
		n += len(s)
	}
	return n
}

// request makes the request anew. Only a GET opens a session.
func (o *opening) request() *http.Request {
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: o.path, RawQuery: o.query}, Proto: o.proto, Host: o.host,
		RemoteAddr: o.remoteAddr, TLS: o.tls, Header: make(http.Header, len(o.header)/2),
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(o.proto)
	for i := 0; i < len(o.header); i += 2 {
		r.Header.Add(o.header[i], o.header[i+1])
	}
	return r
}
