package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// session is one session of revision 3, on any transport. It reads whole messages. One goroutine calls run. Any
// goroutine may call the other methods.
type session interface {
	// run reads until the session ends and returns the reason. It calls packet with the type and the text of each
	// packet. The text is valid until packet returns.
	run(packet func(kind byte, text []byte)) error
	// add appends a packet to a batch, and send sends a batch.
	add(batch []byte, kind byte, text []byte) []byte
	send(batch []byte) error
	interval() time.Duration // time between the client's heartbeats
	abort()                  // makes run and send return
	close()                  // sends a close frame or packet, then aborts
}

// goodbyeTimeout bounds the sending of a session's last packet.
const goodbyeTimeout = time.Second

func openSession(ctx context.Context, t Target, how string) (session, error) {
	switch how {
	case ByWebSocket:
		conn, h, rest, err := openWebSocket(ctx, t, "")
		if err != nil {
			return nil, err
		}
		return newSocket(conn, h, rest)
	case ByUpgrade:
		return upgradeSession(ctx, t)
	case ByPolling:
		return pollSession(ctx, t)
	default:
		return nil, fmt.Errorf("no such way to connect: %q", how)
	}
}

// socket is a session on a WebSocket.
type socket struct {
	hello
	conn net.Conn
	in   puller
	rest []byte // the received part of the next frame
}

func newSocket(conn net.Conn, h hello, rest []byte) (*socket, error) {
	in, err := newPuller(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // on a broken connection the next read or write fails
	return &socket{hello: h, conn: conn, in: in, rest: rest}, nil
}

func (s *socket) run(packet func(kind byte, text []byte)) error {
	err := s.take(nil, packet)
	for err == nil {
		var b []byte
		if b, err = s.in.read(); err == nil {
			err = s.take(b, packet)
		}
		s.in.release()
	}
	return err
}

// take handles the bytes of one read. It stores an incomplete frame for the next call.
func (s *socket) take(b []byte, packet func(kind byte, text []byte)) error {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, b...)
		b = s.rest
	}
	for {
		size, length, whole := frameSize(b)
		switch {
		case size > maxFrame:
			return errOversize
		case !whole || len(b) < size:
			s.rest = append(s.rest[:0], b...)
			return nil
		case b[0]&0xf == opClose:
			return errClosed
		case b[0]&0xf != opText || length == 0:
			return fmt.Errorf("the server sent a frame with opcode %#x and %d bytes, which a load does not expect", b[0]&0xf, length)
		}
		body := b[size-length : size]
		if body[0] == '1' {
			return errClosed
		}
		packet(body[0], body[1:])
		b = b[size:]
	}
}

// maxFrame bounds a frame and the response to a poll, in bytes. Both are read whole.
const maxFrame = 16 << 20

func (s *socket) add(batch []byte, kind byte, text []byte) []byte {
	return appendFrame(batch, kind, text)
}

func (s *socket) send(batch []byte) error {
	_, err := s.conn.Write(batch)
	return err
}

func (s *socket) abort() { _ = s.conn.Close() }

func (s *socket) close() {
	_ = s.conn.SetWriteDeadline(time.Now().Add(goodbyeTimeout)) // on a broken connection the write fails
	_, _ = s.conn.Write(closeFrame)
	s.abort()
}

// upgradeSession opens a session by polling and moves it to a WebSocket.
func upgradeSession(ctx context.Context, t Target) (session, error) {
	p, err := openPoller(ctx, t, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.conn.Close() }()
	conn, _, rest, err := openWebSocket(ctx, t, p.SID)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.MultiReader(bytes.NewReader(rest), conn))
	err = exchange(conn, in, appendFrame(nil, '2', "probe"), "3probe")
	if err == nil {
		_, err = conn.Write(appendFrame(nil, '5', ""))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	rest, _ = in.Peek(in.Buffered()) // cannot fail: the bytes are buffered
	return newSocket(conn, p.hello, rest)
}

// polling is a session by long-polling: one connection polls, the other one posts.
type polling struct {
	*poller
	mu  sync.Mutex // one POST at a time
	out *poller
}

func pollSession(ctx context.Context, t Target) (session, error) {
	in, err := openPoller(ctx, t, true)
	if err != nil {
		return nil, err
	}
	conn, err := t.dial(ctx)
	if err != nil {
		_ = in.conn.Close()
		return nil, err
	}
	out := &poller{t: t, text: true, conn: conn, in: bufio.NewReader(conn), hello: in.hello}
	for _, c := range []net.Conn{in.conn, out.conn} {
		_ = c.SetDeadline(time.Time{}) // on a broken connection the next read or write fails
	}
	return &polling{poller: in, out: out}, nil
}

func (p *polling) run(packet func(kind byte, text []byte)) error {
	for {
		body, err := p.get()
		if err != nil {
			return err
		}
		for len(body) > 0 {
			var one []byte
			if one, body, err = cutPacket(body); err != nil {
				return err
			}
			if one[0] == '1' {
				return errClosedPolling
			}
			packet(one[0], one[1:])
		}
	}
}

var (
	errClosedPolling = errors.New("the server closed the session")
	errEndless       = errors.New("the server sent an endless response")
	errPayload       = errors.New("the server sent an invalid payload")
)

// cutPacket splits the first packet off a text payload. Lengths are in UTF-16 code units.
func cutPacket(payload []byte) (packet, rest []byte, err error) {
	units, digits := 0, 0
	for digits < len(payload) && digits < 9 && payload[digits] >= '0' && payload[digits] <= '9' {
		units = 10*units + int(payload[digits]-'0')
		digits++
	}
	if digits == 0 || units == 0 || digits == len(payload) || payload[digits] != ':' {
		return nil, nil, errPayload
	}
	rest = payload[digits+1:]
	at := 0
	for ; units > 0; units-- {
		r, size := utf8.DecodeRune(rest[at:])
		if size == 0 {
			return nil, nil, errPayload
		}
		if r > 0xffff {
			units--
		}
		at += size
	}
	return rest[:at], rest[at:], nil
}

func (p *polling) add(batch []byte, kind byte, text []byte) []byte {
	batch = strconv.AppendInt(batch, int64(1+utf8.RuneCount(text)), 10) // a load has no character beyond U+FFFF: a rune is one code unit
	return append(append(batch, ':', kind), text...)
}

func (p *polling) send(batch []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.out.do(http.MethodPost, string(batch))
	return err
}

func (p *polling) abort() {
	_ = p.conn.Close()
	_ = p.out.conn.Close()
}

func (p *polling) close() {
	_ = p.out.conn.SetDeadline(time.Now().Add(goodbyeTimeout)) // on a broken connection the request fails
	_ = p.send(p.add(nil, '1', nil))
	p.abort()
}
