package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// This file implements Engine.IO of revision 3 as docs/packet-format.md describes it, without any code of this module.

// session is one Engine.IO session. One goroutine may call send while another one calls recv.
type session interface {
	send(packets ...string) error
	recv() (packet string, err error)
	close()
}

// writeTimeout bounds one write: a client that cannot write for this long gives its connection up.
const writeTimeout = 3 * time.Second

var errHandshake = errors.New("no WebSocket")

// webSocket is a session on a WebSocket.
type webSocket struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex // held while a frame is written
}

func dialWebSocket(ctx context.Context, addr string) (session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	w := &webSocket{conn: conn, in: bufio.NewReader(conn)}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	if err := w.open(addr, base64.StdEncoding.EncodeToString(nonce[:])); err != nil {
		w.close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return w, nil
}

// open upgrades the HTTP connection to a WebSocket, and reads the packet that opens the session.
func (w *webSocket) open(host, key string) error {
	_, err := fmt.Fprintf(w.conn, "GET /engine.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", host, key)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %s", errHandshake, answer.Status)
	}
	packet, err := w.recv()
	if err == nil && !strings.HasPrefix(packet, "0") {
		return fmt.Errorf("%w: first packet %q", errHandshake, packet)
	}
	return err
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func (w *webSocket) send(packets ...string) error {
	for _, p := range packets {
		if err := w.write(opText, []byte(p)); err != nil {
			return err
		}
	}
	return nil
}

// write writes one frame with a mask of zeros, which changes nothing.
func (w *webSocket) write(op byte, data []byte) error {
	frame := []byte{0x80 | op}
	if len(data) < 126 {
		frame = append(frame, 0x80|byte(len(data)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(len(data)))
	}
	frame = append(append(frame, 0, 0, 0, 0), data...)
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.conn.Write(frame)
	return err
}

func (w *webSocket) recv() (string, error) {
	var message []byte
	for {
		var head [2]byte
		if _, err := io.ReadFull(w.in, head[:]); err != nil {
			return "", err
		}
		size := uint64(head[1] & 127)
		var wide [8]byte
		switch size {
		case 126:
			if _, err := io.ReadFull(w.in, wide[6:]); err != nil {
				return "", err
			}
			size = binary.BigEndian.Uint64(wide[:])
		case 127:
			if _, err := io.ReadFull(w.in, wide[:]); err != nil {
				return "", err
			}
			size = binary.BigEndian.Uint64(wide[:])
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(w.in, data); err != nil {
			return "", err
		}
		switch head[0] & 15 {
		case opClose:
			return "", io.EOF
		case opPing:
			if err := w.write(opPong, data); err != nil {
				return "", err
			}
		case opPong:
		default:
			if message = append(message, data...); head[0]&0x80 != 0 {
				return string(message), nil
			}
		}
	}
}

func (w *webSocket) close() { _ = w.conn.Close() }

// polling is a session by long-polling.
type polling struct {
	ctx    context.Context
	cancel context.CancelFunc
	url    string
	client *http.Client
	in     []string // received packets; only the goroutine that calls recv uses it
}

func dialPolling(ctx context.Context, addr string) (session, error) {
	p := &polling{url: "http://" + addr + "/engine.io/?EIO=3&transport=polling&b64=1", client: &http.Client{Transport: &http.Transport{}}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, p.cancel)()
	packet, err := p.recv()
	if err == nil {
		_, sid, found := strings.Cut(packet, `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		if !found || sid == "" {
			err = fmt.Errorf("no session: %q", packet)
		}
		p.url += "&sid=" + sid
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *polling) send(packets ...string) error {
	var body strings.Builder
	for _, packet := range packets {
		fmt.Fprintf(&body, "%d:%s", len(packet), packet)
	}
	ctx, cancel := context.WithTimeout(p.ctx, writeTimeout)
	defer cancel()
	_, err := p.request(ctx, http.MethodPost, strings.NewReader(body.String()))
	return err
}

func (p *polling) recv() (string, error) {
	for len(p.in) == 0 {
		payload, err := p.request(p.ctx, http.MethodGet, nil)
		if err != nil {
			return "", err
		}
		for len(payload) > 0 {
			digits, rest, found := bytes.Cut(payload, []byte(":"))
			size, err := strconv.Atoi(string(digits))
			if !found || err != nil || size > len(rest) {
				return "", fmt.Errorf("no payload: %q", payload)
			}
			p.in = append(p.in, string(rest[:size]))
			payload = rest[size:]
		}
	}
	packet := p.in[0]
	p.in = p.in[1:]
	return packet, nil
}

func (p *polling) request(ctx context.Context, method string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.url, body)
	if err != nil {
		return nil, err
	}
	// net/http must not repeat a request: the events in its body, or in the response, would come twice or be lost
	// unnoticed.
	r.GetBody = nil
	if r.Body == nil {
		r.Body = io.NopCloser(strings.NewReader(""))
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func (p *polling) close() {
	p.cancel()
	p.client.CloseIdleConnections()
}
