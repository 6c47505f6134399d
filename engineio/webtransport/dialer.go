package webtransport

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/bigcompany/mesh/engineio/internal/wtstream"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// Dialer opens WebTransport sessions for clients. Set engineio.DialOptions.WebTransport to its method Dial. The zero
// value is ready for use, and one Dialer serves any number of sessions.
type Dialer struct {
	// TLSConfig configures TLS. The settings of engineio.DialOptions.HTTPClient do not apply to WebTransport.
	// Default: the certificates that the system trusts.
	TLSConfig *tls.Config
}

// Dial opens a session on a new QUIC connection, and a stream in the session. r is the request to send over HTTP/3, and
// ctx bounds only the opening. If the server rejects the session, Dial returns the response with the error.
func (d *Dialer) Dial(ctx context.Context, r *http.Request) (wtstream.Stream, *http.Response, error) {
	u := *r.URL
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "443")
	}
	config := new(tls.Config)
	if d.TLSConfig != nil {
		config = d.TLSConfig.Clone()
	}
	config.NextProtos = []string{http3.NextProtoH3}
	conn, err := quic.DialAddr(ctx, u.Host, config, quicConfig())
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") }
	stop := context.AfterFunc(ctx, end) // some of the functions below do not watch ctx
	s, resp, err := open(ctx, conn, &u, r.Header)
	if !stop() { // even if the end of the connection has caused another error
		err = context.Cause(ctx)
	}
	if err != nil {
		end()
		return nil, resp, err
	}
	context.AfterFunc(s.session.Context(), end)
	return s, nil, nil
}

// open opens a session and a stream on conn.
func open(ctx context.Context, conn *quic.Conn, u *url.URL, header http.Header) (*stream, *http.Response, error) {
	client, err := new(webtransport.Transport).NewClientConn(conn)
	if err != nil {
		return nil, nil, err
	}
	resp, session, err := client.Dial(ctx, u.String(), header)
	if err != nil {
		return nil, readAll(resp), err
	}
	first, err := session.OpenStreamSync(ctx)
	if err != nil {
		_ = session.CloseWithError(0, "")
		return nil, nil, err
	}
	return &stream{Stream: first, session: session}, nil, nil
}

// maxRefusal bounds how much is read of a response that rejects a session, in bytes.
const maxRefusal = 4 << 10

// readAll reads the body of resp, which may be nil, while the connection is still open.
func readAll(resp *http.Response) *http.Response {
	if resp == nil || resp.Body == nil {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // a part of the body is better than nothing
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}
