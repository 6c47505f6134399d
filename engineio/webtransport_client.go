package engineio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// dialWebTransport opens a stream for a new session, or for the existing session.
func (c *client) dialWebTransport(ctx context.Context) (*wire.Stream, error) {
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
	stream := wire.New(conn, &c.conf.wire, wire.Options{Revision: Revision4, Client: true, WebTransport: true})
	open := packet.Packet{Type: packet.Open}
	if c.sid != "" {
		if open.Data, err = json.Marshal(map[string]string{"sid": c.sid}); err != nil {
			panic("engineio: open packet: " + err.Error()) // cannot happen for a string
		}
	}
	if err := stream.WritePacket(open); err != nil {
		stream.End(nil)
		return nil, fmt.Errorf("engineio: %w", err)
	}
	return stream, nil
}
