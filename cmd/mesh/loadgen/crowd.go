package loadgen

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the options of Open.
type Options struct {
	// Connections is the number of sessions to open.
	Connections int
	// Parallel is the number of handshakes at the same time. Default: 8.
	Parallel int
	// Also lists further servers of the same kind as Open's target. The sessions go to the target and to these servers
	// in turn.
	Also []Target
	// First returns the text messages that connection i, from 0, sends first. Default: none.
	First func(i int) []string
}

// Crowd is a set of sessions on WebSockets. Until Close they respond to heartbeats or, in revision 3, send heartbeats.
// Only one goroutine at a time may call the methods, but any goroutine may call Pings and Err.
type Crowd struct {
	conns   []*conn
	pings   atomic.Int64
	load    atomic.Pointer[load]
	failure atomic.Pointer[error] // of the first connection that broke
	broken  chan struct{}         // closed when failure is set
	closing atomic.Bool
	stop    chan struct{} // ends the heartbeats of revision 3
	wg      sync.WaitGroup
}

// load is the current load of a crowd.
type load struct {
	// received handles the messages of one read. It runs in the goroutine that reads the connection.
	received func(c *conn, t counts)
}

// conn is one session.
type conn struct {
	crowd  *Crowd
	number int
	socket net.Conn
	in     puller
	scan   scanner
	// interval is the time between the pings of a client of revision 3. It is 0 if the server sends the pings.
	interval time.Duration
	got      atomic.Int64 // messages since the session opened
	echoing  echoing
}

// Open opens the sessions. If a session cannot be opened, Open closes the others and returns an error.
func Open(ctx context.Context, t Target, o Options) (*Crowd, error) {
	if err := needFiles(o.Connections); err != nil {
		return nil, err
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	c := &Crowd{conns: make([]*conn, o.Connections), broken: make(chan struct{}), stop: make(chan struct{})}
	targets := append([]Target{t}, o.Also...)
	err := inParallel(ctx, o.Connections, o.Parallel, func(i int) error {
		return c.join(ctx, targets[i%len(targets)], i, o.First)
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	c.startPings()
	return c, nil
}

// join opens connection i and starts its reader.
func (c *Crowd) join(ctx context.Context, t Target, i int, first func(int) []string) error {
	socket, hello, rest, err := openWebSocket(ctx, t, "")
	if err != nil {
		return err
	}
	in, err := newPuller(socket)
	if err != nil {
		_ = socket.Close()
		return err
	}
	co := &conn{crowd: c, number: i, socket: socket, in: in}
	if t.Revision == 3 {
		co.interval = hello.interval()
	}
	c.conns[i] = co
	var b []byte
	if first != nil {
		for _, text := range first(i) {
			b = appendFrame(b, '4', text)
		}
	}
	if _, err := socket.Write(b); err != nil {
		return err
	}
	_ = socket.SetDeadline(time.Time{}) // on a broken connection the next read or write fails
	c.wg.Go(func() { co.run(rest) })
	return nil
}

// hello is the body of an open packet.
type hello struct {
	SID          string `json:"sid"`
	PingInterval int    `json:"pingInterval"` // milliseconds
}

func (h hello) interval() time.Duration { return time.Duration(h.PingInterval) * time.Millisecond }

// openWebSocket opens a WebSocket. If sid is empty, it opens a new session and waits for the open packet. rest holds
// the bytes that came after that. The connection has a deadline.
func openWebSocket(ctx context.Context, t Target, sid string) (conn net.Conn, h hello, rest []byte, err error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, h, nil, err
	}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	if _, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", t.uri("websocket", sid), t.Host, t.authorization()); err != nil {
		return nil, h, nil, err
	}
	in := bufio.NewReaderSize(c, 1<<10)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, h, nil, fmt.Errorf("WebSocket handshake: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // ignored: the status says enough
		_ = resp.Body.Close()
		return nil, h, nil, fmt.Errorf("WebSocket handshake: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	if sid == "" {
		body, err := readFrame(in)
		if err != nil {
			return nil, h, nil, fmt.Errorf("open packet: %w", err)
		}
		if h, err = parseOpen(body); err != nil {
			return nil, h, nil, err
		}
	}
	rest, _ = in.Peek(in.Buffered()) // cannot fail: the bytes are buffered
	return c, h, rest, nil
}

func parseOpen(body []byte) (h hello, err error) {
	if len(body) == 0 || body[0] != '0' {
		return h, fmt.Errorf("not an open packet: %.80q", body)
	}
	if err := json.Unmarshal(body[1:], &h); err != nil {
		return h, fmt.Errorf("open packet: %w", err)
	}
	return h, nil
}

// readFrame reads one short frame and returns its body.
func readFrame(in *bufio.Reader) ([]byte, error) {
	for n := 2; ; n++ {
		head, err := in.Peek(n)
		if err != nil {
			return nil, err
		}
		if size, length, whole := frameSize(head); whole {
			frame := make([]byte, size)
			if size > in.Size() {
				return nil, errOversize
			}
			_, err := io.ReadFull(in, frame)
			return frame[size-length:], err
		}
	}
}

// Len returns the number of sessions.
func (c *Crowd) Len() int { return len(c.conns) }

// Pings returns the number of heartbeats of all sessions together: the pings or pongs of the server. Any goroutine may
// call it.
func (c *Crowd) Pings() int64 { return c.pings.Load() }

// Err returns the error of the first session that ended before Close, or nil. Any goroutine may call it.
func (c *Crowd) Err() error {
	if err := c.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// startPings sends the heartbeats of revision 3. It spreads the pings of the sessions over the interval.
func (c *Crowd) startPings() {
	if len(c.conns) == 0 || c.conns[0].interval <= 0 {
		return
	}
	c.wg.Go(func() {
		const turns = 50
		tick := time.NewTicker(c.conns[0].interval / turns)
		defer tick.Stop()
		ping := appendFrame(nil, '2', "")
		for turn := 0; ; turn = (turn + 1) % turns {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			for i := turn; i < len(c.conns); i += turns {
				_, _ = c.conns[i].socket.Write(ping) // the reader reports a broken connection
			}
		}
	})
}

var pongFrame = appendFrame(nil, '3', "")

// run reads the session until it ends.
func (c *conn) run(b []byte) {
	err := c.take(b)
	for err == nil {
		if b, err = c.in.read(); err == nil {
			err = c.take(b)
		}
		c.in.release()
	}
	if !c.crowd.closing.Load() {
		err = fmt.Errorf("loadgen: connection %d: %w", c.number+1, err)
		if c.crowd.failure.CompareAndSwap(nil, &err) {
			close(c.crowd.broken)
		}
	}
}

// take handles the bytes of one read. It responds to pings, and passes the counts of messages to the load.
func (c *conn) take(b []byte) error {
	t, err := c.scan.scan(b)
	for range t.pings {
		if _, err := c.socket.Write(pongFrame); err != nil {
			return err
		}
	}
	if n := t.pings + t.pongs; n > 0 {
		c.crowd.pings.Add(int64(n))
	}
	if t.messages > 0 {
		c.got.Add(int64(t.messages))
		if l := c.crowd.load.Load(); l != nil {
			l.received(c, t)
		}
	}
	return err
}

// wait waits until done is closed. It returns an error if ctx ends, timeout passes, or a session breaks first.
func (c *Crowd) wait(ctx context.Context, done <-chan struct{}, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-c.broken:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errTimeout
	}
}

var errTimeout = errors.New("loadgen: the server did not answer in time")

// Close closes all sessions and waits for their goroutines.
func (c *Crowd) Close() {
	if c.closing.Swap(true) {
		return
	}
	close(c.stop)
	for _, co := range c.conns {
		if co != nil {
			_ = co.socket.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = co.socket.Write(closeFrame)
			_ = co.socket.Close()
		}
	}
	c.wg.Wait()
}
