package mesh

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// conn is one connection of a client.
type conn struct {
	addr   address
	sock   *engineio.Socket
	parser protocol.Parser // used by the reader only

	questions questions // questions asked on this connection; another hub does not reply to them

	// The reader sets these fields until the hub replies to the first ping.
	native  bool // the hub speaks the extensions
	hub     HubInfo
	settled atomic.Bool // the hub has replied
	refused atomic.Pointer[AuthError]

	// Used by the reader while the client moves: see move.go.
	told bool // the hub has asked the client to move
	left bool // the hub sends no more packets
	open bool // keeper stores no more events

	keeper     *keeper               // nil unless the connection was made for a move; fixed
	heard      atomic.Pointer[heard] // records the events that arrive here; nil if no record is needed
	duplicates atomic.Pointer[heard] // the record of the connection before this one; nil once it is not needed

	read       chan struct{} // closed when the reader has read everything
	introduced chan struct{} // closed when introduce is done
	failure    error         // the error of introduce; valid once introduced is closed

	// Guarded by client.mu once this is the client's connection.
	announced  uint64      // version of the table that the hub has
	watched    bool        // the hub reports which nodes join and leave
	lostBefore uint64      // client.lost before this connection broke
	successor  *conn       // after a move begins, the next connection, which takes all new writes; otherwise nil
	over       bool        // the reader has no more events to deliver
	since      time.Time   // when this became the client's connection
	brief      bool        // it is counted in client.brief
	forget     *time.Timer // clears duplicates after duplicateTime; nil if duplicates is nil
}

func (c *client) dial(ctx context.Context, addr address) (*conn, error) {
	o := &c.node.opts
	dial := &engineio.DialOptions{
		Revision:   engineio.Revision3,
		Transports: o.Transports,
		HTTPClient: o.HTTPClient,
		Header:     o.header(),
		MaxPayload: max(16<<20, 2*o.MaxMessage), // a hub adds the sender
		QueueLimit: o.QueueLimit,
		Logger:     o.Logger,
	}
	if c.transport != nil {
		jar, _ := cookiejar.New(nil) // never fails
		dial.HTTPClient = &http.Client{Transport: c.transport, Jar: jar}
	}
	sock, err := engineio.Dial(ctx, addr.url(), dial)
	if err != nil {
		return nil, err
	}
	return &conn{addr: addr, sock: sock, read: make(chan struct{}), introduced: make(chan struct{})}, nil
}

// introduce sends a hub the node's handshake. When the hub has processed it, introduce makes conn the client's
// connection. The caller must have a goroutine that reads conn meanwhile.
func (c *client) introduce(ctx context.Context, conn *conn) error {
	defer close(conn.introduced)
	first, version := c.handshake(nil, conn, c.offer(false))
	conn.announced = version
	err := conn.sock.Write(ctx, engineio.Message{Data: first})
	if err == nil {
		err = conn.sock.Ping(ctx)
	}
	if err == nil {
		err = c.settle(conn)
	}
	if err != nil {
		conn.sock.Abort(nil)
		<-conn.read // the rejection may be the last packet that the reader gets
		if refused := conn.refused.Load(); refused != nil {
			err = refused
		}
		conn.failure = err
		return err
	}
	c.report(State{Status: Connected, Role: RoleClient, Hub: conn.hub})
	return nil
}

// offer returns the Hello for the node's next connection. With beside, an older connection continues, and the hub ends
// it only when the node emits on the new one.
func (c *client) offer(beside bool) *protocol.Hello {
	return &protocol.Hello{
		V: protocol.Version, Key: c.key, Name: c.node.opts.Name, Moves: true, Conn: c.dialed.Add(1), Beside: beside,
	}
}

// settle makes conn the client's connection after its hub has replied.
func (c *client) settle(conn *conn) error {
	c.mu.Lock()
	conn.settled.Store(true) // client.meet, which handles the hub's hello, changes nothing after this
	c.mu.Unlock()
	if refused := conn.refused.Load(); refused != nil {
		return refused
	}
	if !conn.native {
		conn.hub = HubInfo{Legacy: true}
		for _, pattern := range c.node.emitter.patterns() {
			c.node.warnOfPattern(pattern)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	c.adopt(conn)
	return nil
}

// adopt makes conn the client's connection. The caller holds c.mu.
func (c *client) adopt(conn *conn) {
	c.node.counters.Connections.Add(1)
	c.node.counters.Peers.Store(1)
	c.node.addr.Store(&conn.addr)
	c.conn = conn
	conn.since = time.Now()
	c.tell()
	c.startPump()
	c.startWatch()
}

func (c *client) report(s State) {
	log := c.node.opts.Logger.With("addr", c.node.Addr())
	switch {
	case s.Role == RoleHub:
		log.Warn("mesh: the hub was gone: this node is the hub now")
	case s.Status == Connected:
		log.Info("mesh: connected", "legacy", s.Hub.Legacy, "hub", s.Hub.ID)
	default:
		level := slog.LevelWarn
		if s.Attempt > 0 {
			level = slog.LevelDebug // a hub can be away for days
		}
		log.Log(context.Background(), level, "mesh: no connection", "error", s.Err, "attempt", s.Attempt, "retry", s.Retry)
	}
	c.node.report(s)
}

// live reads a connection until it ends, and then makes the next one, until the client is closed or this node is the
// hub. connect or move introduces the first connection. If that fails, live ends. If conn has a successor, the
// goroutine that reads the successor continues in place of this one.
func (c *client) live(conn *conn) {
	failed := 0 // attempts since the last connection
	brief := 0  // consecutive brief connections before that one, if it was brief too
	for first := true; ; first = false {
		cause := c.readAll(conn)
		if to := c.succeed(conn); to != nil {
			c.wg.Go(func() { _ = conn.sock.Close() })
			c.carryOn(to)
			close(conn.read)
			return
		}
		_ = conn.sock.Close() // it has ended already; Close waits for its goroutines
		close(conn.read)
		<-conn.introduced
		switch refused := conn.refused.Load(); {
		case conn.failure != nil && first:
			return
		case conn.failure != nil:
			failed++
			cause = conn.failure
		default:
			failed, brief = 0, c.endured(conn)
			if refused != nil {
				cause = refused
			}
			c.mu.Lock()
			c.lose(conn)
			c.mu.Unlock()
			c.shuffle(conn.addr)
		}
		if conn, failed = c.redial(cause, failed, brief); conn == nil {
			return
		}
	}
}

// endured returns the number of consecutive brief connections before conn if conn was brief too, otherwise 0. A brief
// connection ends before steadyTime. The caller calls endured when conn has ended or is about to end.
func (c *client) endured(conn *conn) (brief int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case time.Since(conn.since) >= steadyTime:
		c.brief = 0
		return 0
	case !conn.brief:
		conn.brief = true
		c.brief++
	}
	return c.brief - 1
}

// redial makes the next connection, and introduces this node on another goroutine. It returns nil if the client is
// closed or this node is the hub. It also returns the number of failed attempts. The pauses grow with that number, and
// with the number of brief connections before: the client must not flood a hub that admits its clients and disconnects
// them at once.
func (c *client) redial(cause error, failed, brief int) (*conn, int) {
	for !c.ending() {
		if c.takeOver(cause, failed) {
			return nil, failed
		}
		pause := backoff(failed + brief)
		c.report(State{Status: Disconnected, Role: RoleClient, Err: cause, Attempt: failed, Retry: pause})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.life.Done():
			timer.Stop()
		}
		timeout := connectTimeout
		if len(c.addrs) > 1 {
			timeout = moveTimeout
		}
		ctx, cancel := context.WithTimeout(c.life, timeout)
		conn, err := c.dial(ctx, c.next())
		if err == nil {
			c.wg.Go(func() {
				defer cancel()
				_ = c.introduce(ctx, conn) // the error is in conn.failure
			})
			return conn, failed
		}
		cancel()
		failed++
		cause = err
	}
	return nil, failed
}

// ending reports whether the client is being closed. The end of a connection is then not a loss.
func (c *client) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.life.Err() != nil
}

// shuffle puts the addresses into a random order, with the address of the lost hub at the end.
func (c *client) shuffle(lost address) {
	c.setAddrs(c.shuffled(lost))
	c.tries = 0
}

func (c *client) setAddrs(addrs []address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs = addrs
}

// shuffled returns a copy of the addresses in a random order, with lost at the end.
func (c *client) shuffled(lost address) []address {
	c.mu.Lock()
	addrs := slices.Clone(c.addrs)
	c.mu.Unlock()
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	if i := slices.Index(addrs, lost); i >= 0 {
		addrs = append(slices.Delete(addrs, i, i+1), lost)
	}
	return addrs
}

// next returns the address of the next attempt.
func (c *client) next() address {
	c.tries++
	return c.addrs[(c.tries-1)%len(c.addrs)]
}

// backoff returns the pause before the next attempt, from the number of failed attempts and brief connections. Half of
// the pause is random, so that the clients of a hub that died do not all reconnect at the same moment.
func backoff(failed int) time.Duration {
	d := maxBackoff
	if failed < 10 {
		d = min(maxBackoff, minBackoff<<failed)
	}
	return d/2 + rand.N(d/2)
}

// readAll reads a connection until it ends and returns the error, or until the hub sends no more packets.
func (c *client) readAll(conn *conn) error {
	for !conn.left {
		m, err := conn.sock.Read(context.Background()) // Close or Abort ends it
		if err != nil {
			return err
		}
		c.receive(conn, m)
	}
	return nil
}

// receive processes one message from the hub.
func (c *client) receive(conn *conn, m engineio.Message) {
	count := &c.node.counters
	count.BytesIn.Add(uint64(len(m.Data)))
	if m.Binary {
		count.Malformed.Add(1)
		return
	}
	p, err := conn.parser.Parse(m.Data)
	if err != nil {
		count.Malformed.Add(1)
		c.node.opts.Logger.Debug("mesh: rejected a packet from the hub", "error", err)
		return
	}
	switch {
	case protocol.Relayed(p.Event):
		e := wire.Event{Name: p.Event, Payload: p.Payload, From: p.From, N: p.N}
		if !conn.native {
			// A Node.js hub relays any `from` that a client writes, but writes the true sender into the payload. From is
			// that sender.
			e.From = protocol.PayloadID(p.Payload)
		}
		c.hear(conn, kept{Event: e})
	case p.Event == protocol.NameHello && !conn.settled.Load():
		c.meet(conn, p.Payload)
	case p.Event == protocol.NameUnauthorized && (conn.native || !conn.settled.Load()):
		var r wire.Unauthorized
		_ = json.Unmarshal(p.Payload, &r) // a rejection without a message is valid
		conn.refused.Store(&AuthError{Message: r.Message[:min(len(r.Message), maxRefusal)]})
	case !conn.native:
		count.Reserved.Add(1)
	case p.Event == protocol.NameNodes || p.Event == protocol.NameExplain:
		conn.questions.answer(p.Payload)
	case p.Event == protocol.NameJoin || p.Event == protocol.NameLeave:
		c.hear(conn, kept{Event: wire.Event{Name: p.Event, Payload: p.Payload}, notice: true})
	case p.Event == protocol.NameMove:
		c.startMove(conn)
	case p.Event == protocol.NameSync:
		if conn.keeper != nil {
			conn.keeper.begin()
		}
		conn.questions.answer(p.Payload)
	case p.Event == protocol.NameLeft:
		c.farewell(conn)
	case p.Event == protocol.NameRefused:
		c.noteRefused(p.Payload)
	case p.Event == protocol.NameUnheard:
		var u wire.Unheard
		if json.Unmarshal(p.Payload, &u) == nil {
			c.node.inbox.fail(u.RID, ErrNoListener)
		}
	default:
		count.Reserved.Add(1)
	}
}

// noteRefused counts and logs events that the hub has rejected.
func (c *client) noteRefused(payload json.RawMessage) {
	var r wire.Refused
	if json.Unmarshal(payload, &r) != nil || r.Count < 1 {
		c.node.counters.Malformed.Add(1)
		return
	}
	c.node.counters.Refused.Add(uint64(r.Count))
	if c.rejectLog.Allow() > 0 { // a hub reports at most once a second
		log := c.node.opts.Logger
		if r.Message != "" {
			log = log.With("message", wire.Truncate(r.Message))
		}
		log.Warn("mesh: the hub rejects events of this node", "rule", wire.Truncate(string(r.Rule)), "event", wire.Truncate(r.Event), "times", r.Count)
	}
}

// maxRefusal bounds the stored message of a rejection, in bytes.
const maxRefusal = 200

// meet records a hub that speaks the extensions. The hub must have derived this node's ID from its key.
func (c *client) meet(conn *conn, payload json.RawMessage) {
	var h wire.Hello
	if json.Unmarshal(payload, &h) != nil || h.V < protocol.Version || h.ID != c.node.id {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.settled.Load() {
		return
	}
	conn.native, conn.hub = true, HubInfo{ID: h.Hub, Name: h.Name}
}
