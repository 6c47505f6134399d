package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// client is the role of a node that is connected to a hub, or looks for one. When the node becomes the hub itself, the
// client passes its queue of events to that hub; see takeover.go.
//
// The client has one permanent goroutine, live, which reads the connection and makes the next one. Two more goroutines
// run when they are needed. One introduces the node to a hub while live reads the reply. The other, pump, writes the
// events and tables that Emit and On could not write directly.
type client struct {
	node   *Node
	key    string        // secret; the node's ID is made from it
	dialed atomic.Uint64 // connections that were introduced to a hub, or are about to be
	home   *address      // where the node may become the hub; nil if it may not

	transport *http.Transport // for all requests of the client; nil if each session has a separate one

	// Used by connect, and later by live: the addresses of hubs, in the order of the attempts, and the number of
	// attempts. The slice is replaced with mu held. Its elements never change.
	addrs []address
	local address // the entry of addrs for home
	tries int

	life   context.Context // ends with the node
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Limits the log lines about events that the hub has rejected.
	rejectLog limit.Throttle

	mu      sync.Mutex
	conn    *conn // nil until a hub has replied, and after the connection has ended
	closing bool  // new events are rejected; queued events are still sent
	retired bool  // this node is the hub: the client makes no more connections
	emptied bool  // the hub has the queue of the retired client: the client accepts no more events
	pumping bool
	out     outbox
	packet  []byte        // a buffer for encoding
	asking  bool          // a goroutine asks the hub to start or stop presence reports
	news    chan struct{} // closed at the next change; nil if no goroutine waits for one
	// The number of consecutive connections, up to the last that ended, that ended before steadyTime.
	brief int

	// For Flush: numbers of events since the start of the client. Accepted events are written or in out. Events that
	// were written but not confirmed when their connection broke may be lost. lost is the number of the last such
	// event. told is the value of lost that a Flush has reported last.
	accepted, written, confirmed, lost, told uint64
}

// Connect connects to a hub and returns when the hub has replied. ctx bounds only this start. Connect does not retry a
// failed attempt. The error is an *AuthError if the hub rejects the node, otherwise it wraps the error of
// engineio.Dial. Once connected, the node reconnects until it is closed. The pauses between attempts grow to 5 s. They
// grow with each attempt that fails, and with each connection that ends within 1 s or whose hub asks the node to move
// within 1 s. The node never becomes a hub.
//
// Of several addresses Connect picks one at random. If no hub replies there, it tries the next one. When the hub is
// lost, the node reconnects to one of the other addresses in the same way, and tries the address of the lost hub last.
// A hub that is about to close asks the node to move before anything is lost: see Node.Shutdown.
func Connect(ctx context.Context, opts *Options) (*Node, error) {
	o, addrs, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return connect(ctx, o, addrs, nil)
}

// connect makes a client of a hub at the first of the addresses where a hub replies. If home is not nil, the node may
// become the hub there, and the first address leads there.
func connect(ctx context.Context, o Options, addrs []address, home *address) (*Node, error) {
	key := wire.NewID()
	n := newNode(o, protocol.ID(key), addrs[0])
	c := &client{node: n, key: key, home: home, addrs: addrs, out: outbox{limit: o.OfflineLimit}, transport: o.transport()}
	c.life, c.cancel = context.WithCancel(context.Background())
	n.uplink = c
	n.setRole(c)
	if home != nil {
		c.local = addrs[0]
	}
	var failure error
	for range c.addrs {
		err := c.attempt(ctx)
		if err == nil {
			return n, nil
		}
		if failure == nil || errors.As(err, new(*AuthError)) {
			failure = err
		} else {
			failure = fmt.Errorf("%w; %w", failure, err)
		}
		if ctx.Err() != nil || errors.As(err, new(*AuthError)) {
			break
		}
	}
	_ = n.Close()
	return nil, failure
}

// attempt connects to the next address.
func (c *client) attempt(ctx context.Context) error {
	addr, bound := c.next(), ctx
	if len(c.addrs) > 1 {
		var cancel context.CancelFunc
		bound, cancel = context.WithTimeout(ctx, moveTimeout)
		defer cancel()
	}
	conn, err := c.dial(bound, addr)
	if err == nil {
		c.wg.Go(func() { c.live(conn) })
		err = c.introduce(bound, conn)
	}
	if err == nil {
		return nil
	}
	if said := greeting(ctx, &c.node.opts, addr, err); said != "" {
		return fmt.Errorf("mesh: connect to %s: no hub, its response begins with %q: %w", addr, said, err)
	}
	return fmt.Errorf("mesh: connect to %s: %w", addr, err)
}

const (
	greetingTimeout = 300 * time.Millisecond
	maxGreeting     = 60 // bytes
)

// greeting returns the first bytes that the server at addr sends by itself, when they can explain why connecting
// failed. Mail, SSH and database servers speak first, and the error of net/http is then hard to understand.
func greeting(ctx context.Context, o *Options, addr address, failure error) string {
	var answered *engineio.HandshakeError
	var refused *AuthError
	if addr.scheme != "http" || o.HTTPClient != nil || ctx.Err() != nil || isRefused(failure) || isEOF(failure) ||
		errors.As(failure, &answered) || errors.As(failure, &refused) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	said := make([]byte, maxGreeting)
	n, _ := conn.Read(said) // the bytes that have arrived are the greeting
	return strings.TrimSpace(string(said[:n]))
}

// Emit writes an event if the connection accepts it at once, and queues it otherwise.
func (c *client) Emit(event string, payload json.RawMessage, rid string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.emptied:
		return errRoleChanged
	case c.closing:
		return ErrClosed
	}
	if conn := c.conn; conn != nil && !c.pumping && c.out.empty() && !c.stale(conn) && conn.successor == nil {
		c.packet = c.encode(c.packet[:0], conn, pending{event, payload, rid})
		err := conn.sock.TryWrite(engineio.Message{Data: c.packet})
		if err == nil {
			c.accepted++
			c.wrote(len(c.packet))
			return nil
		}
		if errors.Is(err, engineio.ErrTooLarge) {
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		if !errors.Is(err, engineio.ErrQueueFull) {
			c.lose(conn)
		}
	}
	if !c.out.push(pending{event, payload, rid}) {
		return ErrQueueFull
	}
	c.accepted++
	c.startPump()
	return nil
}

// wrote counts an event of size bytes. The caller holds c.mu.
func (c *client) wrote(size int) {
	c.written++
	c.node.counters.Sent.Add(1)
	c.node.counters.BytesOut.Add(uint64(size))
}

func (c *client) Announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startPump()
}

// stale reports whether the hub does not have the node's latest table yet. The caller holds c.mu.
func (c *client) stale(conn *conn) bool { return conn.announced < c.node.emitter.version.Load() }

// startPump starts pump if there is something to write. The caller holds c.mu.
func (c *client) startPump() {
	if c.pumping || c.closing || !c.writable() {
		return
	}
	c.pumping = true
	c.wg.Go(c.pump)
}

// writable reports whether a table or an event is queued and a connection can take it. The caller holds c.mu.
func (c *client) writable() bool {
	return c.conn != nil && c.conn.successor == nil && (c.stale(c.conn) || !c.out.empty())
}

// pump writes the table and the queued events, the table first: the reply to an event must find the listener that was
// added before the event. pump waits for room in the connection's queue. It ends when the queue is empty or there is
// no connection.
func (c *client) pump() {
	var packet []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writable() {
		conn, version := c.conn, uint64(0)
		if c.stale(conn) {
			packet, version = c.handshake(packet[:0], conn, nil)
		} else {
			packet = c.encode(packet[:0], conn, c.out.front())
		}
		c.mu.Unlock()
		err := conn.sock.Write(c.life, engineio.Message{Data: packet})
		c.mu.Lock()
		switch {
		case errors.Is(err, engineio.ErrTooLarge):
			c.skip(conn, version, err)
		case err != nil:
			c.lose(conn)
		case version > 0:
			conn.announced = version
		default:
			c.out.pop()
			c.wrote(len(packet))
			if c.conn != conn { // the connection broke during the write, and this event may be lost with it
				c.lost, c.confirmed = c.written, c.written
			}
		}
		c.tell()
	}
	c.pumping = false
	c.tell()
}

// skip drops an item that is larger than the hub accepts: the table if version is not 0, otherwise the event at the
// front of the queue. The node accepted that event when it had no hub, or another one, so the next Flush reports its
// loss. The caller holds c.mu.
func (c *client) skip(conn *conn, version uint64, err error) {
	if version > 0 {
		conn.announced = version
		c.node.opts.Logger.Error("mesh: the hub does not have this node's subscriptions", "error", err)
		return
	}
	e := c.out.front()
	c.out.pop()
	c.written++
	c.lost = c.written
	c.node.counters.Refused.Add(1)
	if times := c.rejectLog.Allow(); times > 0 {
		c.node.opts.Logger.Warn("mesh: a queued event is larger than this hub accepts", "event", e.event, "times", times, "error", err)
	}
	if e.rid != "" {
		c.node.inbox.fail(e.rid, fmt.Errorf("%w: %w", ErrTooLarge, err))
	}
}

// maxFirstTable bounds the table that a client sends before the hub's hello, in bytes. A hub of this package reads at
// most 64 KB from a peer that it has not admitted, and the first packet also contains credentials.
const maxFirstTable = 32 << 10

// handshake appends the packet that announces the node's subscriptions to conn's hub, and returns the version of the
// announced table. If the table is too large for the first packet, that packet has an empty one and version 0, and the
// full table follows after the hub's hello. A hub of this package rejects a table beyond the protocol's limits. A
// client with such a table subscribes to all events, and delivers only the matching ones to its listeners.
func (c *client) handshake(dst []byte, conn *conn, offer *protocol.Hello) ([]byte, uint64) {
	table, version := c.node.emitter.table()
	raw := table.AppendTo(nil)
	beyond := len(table) > protocol.MaxTableEntries || len(raw) > protocol.MaxTableBytes || table.Steps() > protocol.MaxTableSteps
	switch {
	case offer != nil && (beyond || len(raw) > maxFirstTable):
		raw, version = emptyObject, 0
	case beyond && !conn.hub.Legacy:
		raw = []byte(`{"` + wire.TablePrefix + `**":{"remote":true}}`)
	}
	return protocol.AppendPacket(dst, &protocol.Packet{
		Event:      protocol.NameHandshake,
		Payload:    emptyObject,
		EventTable: raw,
		Headers:    protocol.Headers{Auth: c.credentials(), Mesh: offer},
	}, true), version
}

// credentials returns the auth object of a packet. Every handshake has it. At a Node.js hub every packet has it, as
// in the original.
func (c *client) credentials() *protocol.Auth {
	return &protocol.Auth{User: c.node.opts.User, Password: c.node.opts.Password}
}

var emptyObject = json.RawMessage("{}")

// encode appends the packet that carries an event to a hub. For a Node.js hub, a payload that is null or absent becomes
// {}, as in the original.
func (c *client) encode(dst []byte, conn *conn, e pending) []byte {
	p := protocol.Packet{Event: e.event, Payload: e.payload, RID: e.rid, N: c.written + 1}
	if !conn.native {
		p.RID, p.N = "", 0
		if len(e.payload) == 0 || string(e.payload) == "null" {
			p.Payload = emptyObject
		}
		p.Headers.Auth = c.credentials()
	}
	return protocol.AppendPacket(dst, &p, !conn.native)
}

// lose records that a connection has ended or is of no more use. The caller holds c.mu.
func (c *client) lose(conn *conn) {
	if c.conn != conn {
		return
	}
	conn.sock.Abort(nil) // if it has not ended yet
	c.conn = nil
	c.node.counters.Peers.Store(0)
	conn.lostBefore = c.lost
	if c.written > c.confirmed {
		c.lost = c.written
	}
	c.confirmed = c.written
	c.tell()
}

// tell wakes the goroutines that wait for a change. The caller holds c.mu.
func (c *client) tell() {
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

// wait waits for the next change, or until ctx ends. The caller holds c.mu, and wait releases it while it waits.
func (c *client) wait(ctx context.Context) {
	if c.news == nil {
		c.news = make(chan struct{})
	}
	news := c.news
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-news:
	case <-ctx.Done():
	}
}

// await waits until done returns true or ctx ends. The caller holds c.mu.
func (c *client) await(ctx context.Context, done func() bool) {
	for !done() && ctx.Err() == nil {
		c.wait(ctx)
	}
}

func (c *client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	target, version := c.accepted, c.node.emitter.version.Load()
	for {
		switch {
		case c.emptied: // the hub has every accepted event
			return errRoleChanged
		case c.closing:
			return ErrClosed
		}
		conn := c.conn
		if conn == nil || c.written < target || conn.announced < version {
			c.wait(ctx)
			if ctx.Err() != nil {
				return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
			}
			continue
		}
		until := c.written
		c.mu.Unlock()
		err := conn.sock.Ping(ctx)
		if errors.Is(err, engineio.ErrQueueFull) {
			err = conn.sock.Flush(ctx)
			c.mu.Lock()
			if err == nil {
				continue
			}
		} else {
			c.mu.Lock()
		}
		switch {
		case err == nil:
			c.confirm(conn, until)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
		}
		c.lose(conn)
	}
}

// confirm records that the hub has processed the first until events. The caller holds c.mu.
func (c *client) confirm(conn *conn, until uint64) {
	c.confirmed = max(c.confirmed, until)
	if c.conn != conn && c.lost <= until {
		c.lost = conn.lostBefore // the connection broke after the reply: no event was lost
	}
}

// lossMark returns the position up to which Flush has reported losses. A Flush passes it to lossSince at its end.
func (c *client) lossMark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told
}

// lossSince returns ErrUnconfirmed if events may be lost that no Flush had reported when the calling Flush began.
func (c *client) lossSince(mark uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost > mark {
		c.told = max(c.told, c.lost)
		return ErrUnconfirmed
	}
	return nil
}

func (c *client) hubInfo() (HubInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return HubInfo{}, false
	}
	return c.conn.hub, true
}

// close ends the connection in good order and waits for all goroutines of the client. A takeover that has begun ends
// too, so the node's role does not change afterwards.
func (c *client) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.mu.Lock()
	c.await(ctx, func() bool { return c.conn == nil || c.conn.successor == nil }) // a move ends soon
	c.closing = true
	c.tell()
	conn := c.conn
	c.await(ctx, func() bool { return c.conn != conn || !c.pumping })
	c.mu.Unlock()
	if conn != nil {
		_ = conn.sock.Close()
	}
	c.cancel()
	c.wg.Wait()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

func (c *client) Sockets() []*engineio.Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	return []*engineio.Socket{c.conn.sock}
}

func (c *client) asHub() *hub.Hub { return nil }
