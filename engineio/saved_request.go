package engineio

import (
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"
)

// savedRequest holds the data of the request that opened a session. An *http.Request would cost an idle session 2 KB
// more, and a trimmed one 400 bytes more. Separate strings would cost 16 to 32 bytes each beyond their text. So one
// string holds all text.
type savedRequest struct {
	tls  *tls.ConnectionState
	text string // path, query, protocol, host, remote address, then each header field's name and value; each after its length
}

// maxSavedRequest bounds the text that a session holds of the request that opened it, in bytes. It is four times the
// limit of Node.js for a header; the limit of net/http is a megabyte.
const maxSavedRequest = 64 << 10

func saveRequest(r *http.Request) *savedRequest {
	var space [1 << 10]byte
	text := appendText(space[:0], r.URL.Path, r.URL.RawQuery, r.Proto, r.Host, r.RemoteAddr)
	for k, values := range r.Header {
		switch k {
		case "Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions",
			"Accept-Encoding", "Content-Type", "Content-Length", "Accept", "Pragma", "Cache-Control":
			continue // these fields concern the connection or this response only
		}
		for _, v := range values {
			text = appendText(text, k, v)
		}
	}
	return &savedRequest{tls: r.TLS, text: string(text)}
}

// appendText appends strings, each after its length.
func appendText(dst []byte, all ...string) []byte {
	for _, s := range all {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

// cutText returns the first of the strings that appendText appended, and the remaining text.
func cutText(text string) (first, rest string) {
	n, size := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
	end := size + int(n)
	return text[size:end], text[end:]
}

// query returns the request's query.
func (o *savedRequest) query() url.Values {
	_, rest := cutText(o.text)
	raw, _ := cutText(rest)
	return query(raw)
}

// request makes a new copy of the request: a GET, or the CONNECT of a WebTransport session.
func (o *savedRequest) request() *http.Request {
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
		r.Method = http.MethodConnect // Proto is then "webtransport"
	}
	for rest != "" {
		r.Header.Add(next(), next())
	}
	return r
}
