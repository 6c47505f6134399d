package engineio

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// dialWebSocket makes a WebSocket handshake through the HTTP client, and so with its proxy, TLS settings and cookies.
func (c *client) dialWebSocket(ctx context.Context) (*wire.Stream, error) {
	r, err := c.request(ctx, http.MethodGet, WebSocket, nil)
	if err != nil {
		return nil, err
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	if len(c.opts.Subprotocols) > 0 {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(c.opts.Subprotocols, ", "))
	}
	if c.opts.PerMessageDeflate {
		r.Header.Set("Sec-WebSocket-Extensions", wire.DeflateOffer)
	}
	resp, err := c.do(r)
	if err != nil {
		return nil, fmt.Errorf("engineio: %w", err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer func() { _ = resp.Body.Close() }()
		return nil, c.status(resp).handshakeError()
	}
	deflate, ok := wire.DeflateChosen(resp.Header, c.opts.PerMessageDeflate)
	if !ok || !c.fits(resp.Header, key) {
		_ = conn.Close()
		return nil, &HandshakeError{Status: resp.StatusCode, Code: -1, Message: "the answer to the WebSocket handshake does not fit"}
	}
	c.settle(resp)
	return wire.New(conn, &c.conf.wire, wire.Options{
		Revision: c.opts.Revision, Client: true, Base64: c.opts.Base64, Deflate: deflate,
	}), nil
}

// fits reports whether h is a valid response to the handshake with this key.
func (c *client) fits(h http.Header, key string) bool {
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") || h.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		return false
	}
	chosen := h.Values("Sec-WebSocket-Protocol")
	return len(chosen) == 0 || len(chosen) == 1 && slices.Contains(c.opts.Subprotocols, chosen[0])
}

// acceptKey returns the value with which a server must respond to a WebSocket handshake (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
