package engineio

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/bigcompany/mesh/engineio/packet"
)

// get polls once, on the reader's goroutine.
func (c *client) get() ([]packet.Packet, error) {
	r, err := c.request(c.ctx, http.MethodGet, Polling, nil)
	if err != nil {
		return nil, err
	}
	return c.roundTrip(r)
}

// post sends as many of out as fit into one POST, at least one, and says how many those were.
func (c *client) post(out []*outgoing) (int, error) {
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
	resp, err := c.do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, c.status(resp)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBodyLimit)) // "ok"; read, the connection can be used again
	return len(packets), err
}

// fitting returns the packets of the next POST, and the form to write them in. Where the server did not tell its limit,
// it is what any server takes in one message.
func (c *client) fitting(out []*outgoing) ([]packet.Packet, packet.Encoding) {
	limit := c.maxPayload
	if limit == 0 {
		limit = DefaultMaxPayload
	}
	enc := packet.Text
	switch {
	case c.opts.Base64 && c.twice.Load():
		enc = packet.TextTwice
	case c.opts.Base64:
	case c.opts.Revision == Revision3 && slices.ContainsFunc(out, func(o *outgoing) bool { return needsBinaryForm(o.packet()) }):
		enc = packet.Binary // see Socket.payloadEncoding
	}
	var packets []packet.Packet
	size := 0
	if c.opts.Revision == Revision4 {
		size = -1 // there is one separator less than packets
	}
	for _, o := range out {
		p := o.packet()
		size += packet.EncodedLen(c.opts.Revision, enc, p)
		if len(packets) > 0 && (size > limit || len(packets) == c.maxPackets) {
			break
		}
		packets = append(packets, p)
	}
	return packets, enc
}

// lengthOnTheWay returns how many bytes m takes in a frame of c, or alone in a POST if there is no stream. An upgrade that is
// under way may still fail, and m then leaves in a POST.
func (c *client) lengthOnTheWay(m *Message, stream *stream) int {
	p := packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data}
	rev := c.opts.Revision
	switch {
	case stream != nil && c.opts.Base64 && m.Binary:
		return len(packet.AppendText(nil, rev, p))
	case stream != nil:
		_, n := frameShape(rev, p)
		return n
	case rev == Revision4:
		return packet.EncodedLen(rev, packet.Text, p) - 1 // no separator
	case c.opts.Base64 && c.twice.Load():
		return packet.EncodedLen(rev, packet.TextTwice, p)
	case c.opts.Base64:
		return packet.EncodedLen(rev, packet.Text, p)
	default: // what else is in the POST decides on its form
		return max(packet.EncodedLen(rev, packet.Text, p), packet.EncodedLen(rev, packet.Binary, p))
	}
}

// roundTrip makes a poll.
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
	body, err := readBody(io.LimitReader(resp.Body, int64(c.opts.MaxPayload)+1), c.opts.MaxPayload, func(int) error { return nil })
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
	if c.opts.Revision == Revision3 && c.opts.Base64 && (c.twice.Load() || unknownDialect.learn(packets) == twiceDialect) {
		c.twice.Store(true)
		for i := range packets {
			foldTwice(&packets[i])
		}
	}
	return packets, err
}
