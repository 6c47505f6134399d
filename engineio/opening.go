package engineio

import (
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"
)

// opening is what is kept of the request that opened a session. An *http.Request would cost an idle session 2 KB more,
// even a trimmed one 400 bytes, and its strings 16 to 32 bytes each beyond their text; so all text is in one.
type opening struct {
	tls  *tls.ConnectionState
	text string // path, query, protocol, host, remote address, then names and values of header fields in turn
}

// maxOpening bounds what a session keeps of the request that opened it, in bytes. It is four times what Node.js takes as
// header; net/http takes a megabyte.
const maxOpening = 64 << 10

func newOpening(r *http.Request) *opening {
	var space [1 << 10]byte
	text := appendText(space[:0], r.URL.Path, r.URL.RawQuery, r.Proto, r.Host, r.RemoteAddr)
	for k, values := range r.Header {
		switch k {
		case "Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions",
			"Accept-Encoding", "Content-Type", "Content-Length", "Accept", "Pragma", "Cache-Control":
			continue // they concern the connection or the one answer
		}
		for _, v := range values {
			text = appendText(text, k, v)
		}
	}
	return &opening{tls: r.TLS, text: string(text)}
}

// appendText appends strings, each behind its length.
func appendText(dst []byte, all ...string) []byte {
	for _, s := range all {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

// cutText returns the first of the strings that appendText has appended, and the rest.
func cutText(text string) (first, rest string) {
	n, size := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
	end := size + int(n)
	return text[size:end], text[end:]
}

// query returns the request's query.
func (o *opening) query() url.Values {
	_, rest := cutText(o.text)
	raw, _ := cutText(rest)
	return query(raw)
}

// request makes the request anew: a GET, or the CONNECT of a WebTransport session.
func (o *opening) request() *http.Request {
	rest := o.text
	next := func() (s string) {
		s, rest = cutText(rest)
		return s
	}
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: next(), RawQuery: next()}, Proto: next(), Host: next(),
		RemoteAddr: next(), TLS: o.tls, Header: make(http.Header),
	}
	var ok bool
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(r.Proto); !ok {
		r.Method = http.MethodConnect // Proto is webtransport
	}
	for rest != "" {
		r.Header.Add(next(), next())
	}
	return r
}
