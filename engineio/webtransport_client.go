package engineio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// dialWebTransport opens a stream for a new session, or for the existing session.
func (c *client) dialWebTransport(ctx context.Context) (*stream, error) {
	r, err := c.request(ctx, http.MethodConnect, WebTransport, nil)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme == "http" && r.URL.Port() == "" {
		r.URL.Host += ":80" // stock clients use one port number for all transports
	}
	r.URL.Scheme = "https"
	conn, resp, err := c.opts.WebTransport(ctx, r)
	if err != nil {
		if resp != nil {
			defer func() { _ = resp.Body.Close() }()
			return nil, readStatus(resp).handshakeError()
		}
		return nil, fmt.Errorf("engineio: %w", err)
	}
	s := newStream(conn, Revision4, ws.StateClientSide, c.conf)
	s.framing = lengthFrames
	open := packet.Packet{Type: packet.Open}
	if c.sid != "" {
		if open.Data, err = json.Marshal(map[string]string{"sid": c.sid}); err != nil {
			panic("engineio: open packet: " + err.Error()) // cannot happen for a string
		}
	}
	if err := s.writePacket(open); err != nil {
		s.end(nil)
		return nil, fmt.Errorf("engineio: %w", err)
	}
	return s, nil
}
