package engineio

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// get polls once. It runs on the reader's goroutine.
func (c *client) get() ([]packet.Packet, error) {
	r, err := c.request(c.ctx, http.MethodGet, Polling, nil)
	if err != nil {
		return nil, err
	}
	r, done := once(r)
	defer done()
	return c.roundTrip(r)
}

// errRepeated is the error of a session whose poll or POST net/http was about to repeat.
var errRepeated = errors.New("engineio: the connection broke before the response, which may have carried messages")

// once returns a copy of r that fails if net/http repeats it, and a function to call when the response has been read.
// net/http repeats a GET if a reused connection breaks before the response, and also a POST with the header
// Idempotency-Key. But if the server has handled the first request, the response to a second poll begins after the
// messages of the lost response, and a second POST delivers its messages again. once permits a repetition if net/http
// had not begun to write the request. It also permits all repetitions over HTTP/2, because there the server reports
// that it did not handle the first request.
func once(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var http2, wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if wrote.Load() {
				cancel(errRepeated)
			}
			conn, ok := info.Conn.(interface{ ConnectionState() tls.ConnectionState })
			http2.Store(ok && conn.ConnectionState().NegotiatedProtocol == "h2")
		},
		WroteHeaders: func() { wrote.Store(!http2.Load()) },
	})
	return r.WithContext(ctx), func() { cancel(nil) }
}

// post sends as many packets of out as fit into one POST, at least one, and returns their number.
func (c *client) post(out []*wire.Outgoing) (int, error) {
	packets, enc := c.fitting(out)
	contentType := "text/plain;charset=UTF-8"
	if enc == packet.Binary {
		contentType = typeBinary
	}
	body := packet.AppendPayload(nil, c.opts.Revision, enc, packets...)
	r, err := c.request(c.ctx, http.MethodPost, Polling, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", contentType)
	r, done := once(r)
	defer done()
	resp, err := c.do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, c.status(resp)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBodyLimit)) // the body is "ok"; a connection whose response was read can be reused
	return len(packets), err
}

// fitting returns the packets of the next POST, and their encoding. If the server's limit is unknown, fitting uses the
// limit that every server accepts for one message.
func (c *client) fitting(out []*wire.Outgoing) ([]packet.Packet, packet.Encoding) {
	limit := c.maxPayload
	if limit == 0 {
		limit = DefaultMaxPayload
	}
	enc := packet.Text
	switch {
	case c.opts.Base64 && c.doubleUTF8.Load():
		enc = packet.TextDoubleUTF8
	case c.opts.Base64:
	case c.opts.Revision == Revision3 && slices.ContainsFunc(out, func(o *wire.Outgoing) bool { return needsBinaryForm(o.Packet()) }):
		enc = packet.Binary // see Socket.payloadEncoding
	}
	var packets []packet.Packet
	size := 0
	if c.opts.Revision == Revision4 {
		size = -1 // a payload has one separator less than packets
	}
	for _, o := range out {
		p := o.Packet()
		size += packet.EncodedLen(c.opts.Revision, enc, p)
		if len(packets) > 0 && (size > limit || len(packets) == c.maxPackets) {
			break
		}
		packets = append(packets, p)
	}
	return packets, enc
}

// lengthOnTheWay returns how many bytes m needs in a frame on stream, or alone in a POST if stream is nil. During an
// upgrade stream is nil, because the upgrade may fail and m then leaves in a POST.
func (c *client) lengthOnTheWay(m *Message, stream *wire.Stream) int {
	p := packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data}
	rev := c.opts.Revision
	switch {
	case stream != nil:
		return stream.BodyLen(p)
	case rev == Revision4:
		return packet.EncodedLen(rev, packet.Text, p) - 1 // without a separator
	case c.opts.Base64 && c.doubleUTF8.Load():
		return packet.EncodedLen(rev, packet.TextDoubleUTF8, p)
	case c.opts.Base64:
		return packet.EncodedLen(rev, packet.Text, p)
	default: // the other packets of the POST decide on its encoding
		return max(packet.EncodedLen(rev, packet.Text, p), packet.EncodedLen(rev, packet.Binary, p))
	}
}

// roundTrip sends a poll and returns the packets of its response.
func (c *client) roundTrip(r *http.Request) ([]packet.Packet, error) {
	resp, err := c.do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, c.status(resp)
	}
	c.settle(resp)
	body, err := receivelimit.ReadBody(io.LimitReader(resp.Body, int64(c.opts.MaxPayload)+1), c.opts.MaxPayload, receivelimit.Free, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	if len(body) > c.opts.MaxPayload {
		return nil, ErrTooLarge
	}
	enc := packet.Text
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == typeBinary && c.opts.Revision == Revision3 {
		enc = packet.Binary
	}
	packets, err := packet.ParsePayload(c.opts.Revision, enc, body)
	if c.opts.Revision == Revision3 && c.opts.Base64 && (c.doubleUTF8.Load() || unknownDialect.learn(packets) == doubleDialect) {
		c.doubleUTF8.Store(true)
		for i := range packets {
			wire.DecodeDoubleUTF8(&packets[i])
		}
	}
	return packets, err
}
