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
	"github.com/bigcompany/mesh/protocol"
)

// client is the link of a node that is connected to a hub, or looking for it. It stays the node's link when the node
// becomes the hub itself, and then hands everything on; see heal.go.
//
// Its one lasting goroutine, live, reads the connection and makes the next one. Two more come and go: one introduces
// the node to a hub, while live reads the answer, and pump writes what Emit and On could not write themselves.
type client struct {
	node   *Node
	key    string        // secret; the node's ID is made from it
	dialed atomic.Uint64 // connections that were introduced to a hub, or are about to be
	home   *address      // where the node may become the hub; nil if nowhere

	transport *http.Transport // of all its requests; nil if each session has its own

	// Of connect, then of live: where hubs may be, in the order in which they are tried, and how often one was. The slice is
	// replaced with mu held, and never changed.
	addrs []address
	local address // that of home among them
	tries int

	life   context.Context // ends with the node
	cancel context.CancelFunc
	wg     sync.WaitGroup

	refused tally // what the hub says that it has refused

	heir atomic.Pointer[hub] // of this node, when what waited is with it; nil while this node is no hub

	mu      sync.Mutex
	conn    *conn // nil while there is none that a hub has answered
	hub     *hub  // of this node, from when it serves; nil while this node is none
	closing bool  // nothing more is accepted; what is queued still leaves
	pumping bool
	out     outbox
	packet  []byte        // scratch
	asking  bool          // a goroutine is telling the hub whether to tell who comes and goes
	news    chan struct{} // closed at the next change that somebody may wait for; nil if nobody does
	brief   int           // connections in a row, the last that has ended among them, that did not last for steadyTime

	// For Flush, in events ever. What was accepted is written or in out. What was written and not confirmed when its
	// connection broke may be lost: lost is the number of the last of those, told that of the last that a Flush has
	// reported.
	accepted, written, confirmed, lost, told uint64
}

// Connect connects to a hub and returns when that has answered; ctx bounds this only. An attempt that fails is an error
// at once: *AuthError if the hub refuses the node, otherwise one that wraps what engineio.Dial returned. Once connected,
// the node reconnects for as long as it lives, with pauses that grow to 5 s. They grow with each attempt that fails, and with
// each connection that is lost, or that the hub tells the node to give up, within 1 s. It never becomes a hub.
//
// Of several addresses one is picked at random, and the next one if no hub answers there. When the hub is lost, the node
// moves to one of the others in the same way; to the one that it lost it comes back last. A hub that is about to close
// tells it to, before anything is lost: see Node.Shutdown.
func Connect(ctx context.Context, opts *Options) (*Node, error) {
	o, addrs, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return connect(ctx, o, addrs, nil)
}

// connect makes a client of a hub at the first of the addresses where one answers. It may become the hub at home, unless
// that is nil: the first address is then that one.
func connect(ctx context.Context, o Options, addrs []address, home *address) (*Node, error) {
	key := randomHex()
	n := newNode(o, protocol.ID(key), addrs[0])
	c := &client{node: n, key: key, home: home, addrs: addrs, out: outbox{limit: o.OfflineLimit}, transport: o.transport()}
	c.life, c.cancel = context.WithCancel(context.Background())
	n.link = c
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
		return fmt.Errorf("mesh: connect to %s: no hub, what answers begins with %q: %w", addr, said, err)
	}
	return fmt.Errorf("mesh: connect to %s: %w", addr, err)
}

const (
	greetingTimeout = 300 * time.Millisecond
	maxGreeting     = 60 // bytes
)

// greeting returns what is said to those who connect and say nothing, when that can explain why connecting failed: mail,
// SSH and database servers speak first, and net/http then has no error that one could understand.
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
	n, _ := conn.Read(said) // what came is what there is to say
	return strings.TrimSpace(string(said[:n]))
}

// emit writes an event if nothing is in the way, and queues it otherwise.
func (c *client) emit(event string, payload json.RawMessage, rid string) error {
	if h := c.heir.Load(); h != nil {
		return h.emit(event, payload, rid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	if h := c.heir.Load(); h != nil { // since a moment ago
		return h.emit(event, payload, rid)
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

// wrote counts an event of so many bytes. The caller holds c.mu.
func (c *client) wrote(size int) {
	c.written++
	c.node.counters.sent.Add(1)
	c.node.counters.bytesOut.Add(uint64(size))
}

func (c *client) announce() {
	c.mu.Lock()
	h := c.hub
	c.startPump()
	c.mu.Unlock()
	if h != nil {
		h.announce()
	}
}

// stale tells whether the hub has yet to learn what the node wants. The caller holds c.mu.
func (c *client) stale(conn *conn) bool { return conn.announced < c.node.emitter.version.Load() }

// startPump sees to it that what waits leaves. The caller holds c.mu.
func (c *client) startPump() {
	if c.pumping || c.closing || !c.writable() {
		return
	}
	c.pumping = true
	c.wg.Go(c.pump)
}

// writable tells whether something waits to be written, and can be. The caller holds c.mu.
func (c *client) writable() bool {
	return c.conn != nil && c.conn.successor == nil && (c.stale(c.conn) || !c.out.empty())
}

// pump writes what waits, the table first: an answer to an event must find the listener that was added before it. It
// waits for room in the connection's queue, and ends when nothing is left to write or there is nowhere to write to.
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
			if c.conn != conn { // lost meanwhile, and this with it
				c.lost, c.confirmed = c.written, c.written
			}
		}
		c.tell()
	}
	c.pumping = false
	c.tell()
}

// skip goes on behind what is larger than the hub accepts: a table, if it has a version, or else the event in front of the
// queue. That event was accepted when the node had no hub, or another one, so the next Flush reports its loss. The caller holds
// c.mu.
func (c *client) skip(conn *conn, version uint64, err error) {
	if version > 0 {
		conn.announced = version
		c.node.opts.Logger.Error("mesh: the hub does not know what this node listens to", "error", err)
		return
	}
	e := c.out.front()
	c.out.pop()
	c.written++
	c.lost = c.written
	c.node.counters.refused.Add(1)
	if times := c.refused.note(); times > 0 {
		c.node.opts.Logger.Warn("mesh: an event that waited is larger than this hub accepts", "event", e.event, "times", times, "error", err)
	}
	if e.rid != "" {
		c.node.inbox.fail(e.rid, fmt.Errorf("%w: %w", ErrTooLarge, err))
	}
}

// maxFirstTable bounds the table that a client sends before the hub's hello, in bytes. A hub of this package reads at most
// 64 KB of a peer that it has not admitted, and the first packet has credentials too.
const maxFirstTable = 32 << 10

// handshake appends the packet that announces to conn's hub what the node wants, and returns the version of that. A larger
// table follows the hub's hello: the first packet is then behind the version. A hub of this package rejects a table beyond
// the protocol's limits. Such a client asks it for all events, and picks those that it wants.
func (c *client) handshake(dst []byte, conn *conn, offer *protocol.Hello) ([]byte, uint64) {
	table, version := c.node.emitter.table()
	raw := table.AppendTo(nil)
	beyond := len(table) > protocol.MaxTableEntries || len(raw) > protocol.MaxTableBytes || table.Steps() > protocol.MaxTableSteps
	switch {
	case offer != nil && (beyond || len(raw) > maxFirstTable):
		raw, version = emptyObject, 0
	case beyond && !conn.hub.Node:
		raw = []byte(`{"` + tablePrefix + `**":{"remote":true}}`)
	}
	return protocol.AppendPacket(dst, &protocol.Packet{
		Event:      protocol.NameHandshake,
		Payload:    emptyObject,
		EventTable: raw,
		Headers:    protocol.Headers{Auth: c.credentials(), Mesh: offer},
	}, true), version
}

// credentials are there in every handshake, and at a Node hub in every packet: without the object that hub would die.
func (c *client) credentials() *protocol.Auth {
	return &protocol.Auth{User: c.node.opts.User, Password: c.node.opts.Password}
}

var emptyObject = json.RawMessage("{}")

// encode appends the packet that carries an event to a hub. A Node hub would die of a payload that is null or absent.
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

// lose takes note that a connection has ended, or is of no more use. The caller holds c.mu.
func (c *client) lose(conn *conn) {
	if c.conn != conn {
		return
	}
	conn.sock.Abort(nil) // if it has not ended by itself
	c.conn = nil
	c.node.counters.peers.Store(0)
	conn.lostBefore = c.lost
	if c.written > c.confirmed {
		c.lost = c.written
	}
	c.confirmed = c.written
	c.tell()
}

// tell wakes those who wait for a change. The caller holds c.mu.
func (c *client) tell() {
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

// wait waits for the next change, or until ctx ends. The caller holds c.mu, which is free meanwhile.
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

// await waits until done says so, or ctx ends. The caller holds c.mu.
func (c *client) await(ctx context.Context, done func() bool) {
	for !done() && ctx.Err() == nil {
		c.wait(ctx)
	}
}

func (c *client) flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	target, version, told := c.accepted, c.node.emitter.version.Load(), c.told
	for {
		if c.closing {
			return ErrClosed
		}
		if h := c.heir.Load(); h != nil { // which has dealt with everything
			c.mu.Unlock()
			err := h.flush(ctx)
			c.mu.Lock()
			if err != nil {
				return err
			}
			return c.confess(told)
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
			return c.confirm(conn, until, told)
		case ctx.Err() != nil:
			return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
		}
		c.lose(conn)
	}
}

// confirm takes note that the hub has processed all that was written until then. The caller holds c.mu.
func (c *client) confirm(conn *conn, until, told uint64) error {
	c.confirmed = max(c.confirmed, until)
	if c.conn != conn && c.lost <= until {
		c.lost = conn.lostBefore // the connection broke after the answer: nothing was lost
	}
	return c.confess(told)
}

// confess returns ErrUnconfirmed if events may be lost that no Flush had told of when this one began. The caller holds
// c.mu.
func (c *client) confess(told uint64) error {
	if c.lost > told {
		c.told = max(c.told, c.lost)
		return ErrUnconfirmed
	}
	return nil
}

func (c *client) hubInfo() (HubInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.hub != nil:
		return c.hub.hubInfo()
	case c.conn == nil:
		return HubInfo{}, false
	}
	return c.conn.hub, true
}

func (c *client) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.mu.Lock()
	c.await(ctx, func() bool { return c.conn == nil || c.conn.successor == nil }) // a move is soon over
	c.closing = true
	c.tell()
	conn := c.conn
	c.await(ctx, func() bool { return c.conn != conn || !c.pumping })
	c.mu.Unlock()
	if conn != nil {
		_ = conn.sock.Close()
	}
	c.cancel()
	c.wg.Wait() // from here on c.hub does not change
	if c.hub != nil {
		c.hub.close()
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}
