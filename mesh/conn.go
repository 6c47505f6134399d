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
	"github.com/bigcompany/mesh/protocol"
)

// conn is one connection of a client.
type conn struct {
	addr   address
	sock   *engineio.Socket
	parser protocol.Parser // of the reader's

	questions questions // whose answers come here, and not from another hub

	// What the hub says before it answers the first ping, written by the reader until then.
	native  bool // it speaks the extensions
	hub     HubInfo
	settled atomic.Bool // it has answered
	refused atomic.Pointer[AuthError]

	// Of the reader, while the client moves: see move.go.
	told bool // to move
	left bool // the hub sends nothing more
	open bool // keeper keeps nothing any more

	keeper *keeper               // nil unless the connection was made to move; fixed
	heard  atomic.Pointer[heard] // what comes here is noted in it; nil if it need not be
	echoes atomic.Pointer[heard] // what came on the connection before this one; nil if that does not matter any more

	read       chan struct{} // closed when the reader has read all
	introduced chan struct{} // closed when introduce is done
	failure    error         // of introduce; valid once introduced is closed

	// Guarded by client.mu once the connection is the client's.
	announced  uint64      // version of the table that the hub has
	watched    bool        // the hub tells who comes and goes
	lostBefore uint64      // client.lost before this connection broke
	successor  *conn       // nothing is written here any more, and this is the client's next connection; nil if there is none
	over       bool        // the reader has nothing more to hand on
	since      time.Time   // when it became the client's
	brief      bool        // it is counted in client.brief
	forget     *time.Timer // of echoes; nil if there are none
}

func (c *client) dial(ctx context.Context, addr address) (*conn, error) {
	o := &c.node.opts
	dial := &engineio.DialOptions{
		Revision:   engineio.Revision3,
		Transports: o.Transports,
		HTTPClient: o.HTTPClient,
		Header:     o.header(),
		MaxPayload: max(engineio.DefaultDialMaxPayload, 2*o.MaxMessage), // a hub adds the sender
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

// introduce tells a hub who this node is and what it wants, and makes the connection the client's when the hub has
// dealt with that. Somebody must be reading meanwhile.
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
		<-conn.read // the refusal may be the last that it reads
		if refused := conn.refused.Load(); refused != nil {
			err = refused
		}
		conn.failure = err
		return err
	}
	c.report(State{Status: Connected, Role: Client, Hub: conn.hub})
	return nil
}

// offer is what the node says of itself on its next connection. A connection beside another one ends that one only when the
// node emits on it.
func (c *client) offer(beside bool) *protocol.Hello {
	return &protocol.Hello{
		V: protocol.Version, Key: c.key, Name: c.node.opts.Name, Moves: true, Conn: c.dialed.Add(1), Beside: beside,
	}
}

// settle makes a connection whose hub has answered the client's.
func (c *client) settle(conn *conn) error {
	c.mu.Lock()
	conn.settled.Store(true) // from here on meet changes nothing
	c.mu.Unlock()
	if refused := conn.refused.Load(); refused != nil {
		return refused
	}
	if !conn.native {
		conn.hub = HubInfo{Node: true}
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

// adopt makes a connection the client's. The caller holds c.mu.
func (c *client) adopt(conn *conn) {
	c.node.counters.connections.Add(1)
	c.node.counters.peers.Store(1)
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
	case s.Role == Hub:
		log.Warn("mesh: the hub was gone: this node is the hub now")
	case s.Status == Connected:
		log.Info("mesh: connected", "node", s.Hub.Node, "hub", s.Hub.ID)
	default:
		level := slog.LevelWarn
		if s.Attempt > 0 {
			level = slog.LevelDebug // a hub can be away for days
		}
		log.Log(context.Background(), level, "mesh: no connection", "error", s.Err, "attempt", s.Attempt, "retry", s.Retry)
	}
	c.node.report(s)
}

// live reads a connection until it ends, and then makes the next one, until the client is closed or this node is the hub.
// The first one is introduced by connect or move, and if that fails there is no other. If there is another connection
// already, the goroutine that reads that goes on in place of this one.
func (c *client) live(conn *conn) {
	failed := 0 // attempts since the last connection
	brief := 0  // connections in a row before that, which did not last, if it has not lasted either
	for first := true; ; first = false {
		cause := c.readAll(conn)
		if to := c.succeed(conn); to != nil {
			c.wg.Go(func() { _ = conn.sock.Close() })
			c.carryOn(to)
			close(conn.read)
			return
		}
		_ = conn.sock.Close() // ended already; this waits for its goroutines
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

// endured returns after how many connections in a row that did not last this one has not lasted either: 0 if it has. It is
// called when the connection has ended, or is going to.
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
// closed, or this node the hub, and how many attempts have failed by now. The pauses grow with those, and with the brief
// connections before: a hub that admits its clients and closes them at once is not to be called without end.
func (c *client) redial(cause error, failed, brief int) (*conn, int) {
	for !c.ending() {
		if c.takeOver(cause, failed) {
			return nil, failed
		}
		pause := backoff(failed + brief)
		c.report(State{Status: Disconnected, Role: Client, Err: cause, Attempt: failed, Retry: pause})
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
				_ = c.introduce(ctx, conn) // it is in conn.failure
			})
			return conn, failed
		}
		cancel()
		failed++
		cause = err
	}
	return nil, failed
}

// ending says whether the client is being closed: the end of a connection is no loss then.
func (c *client) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.life.Err() != nil
}

// shuffle puts the addresses into a random order, the one where a hub was just lost at the end.
func (c *client) shuffle(lost address) {
	c.setAddrs(c.shuffled(lost))
	c.tries = 0
}

func (c *client) setAddrs(addrs []address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs = addrs
}

// shuffled returns the addresses in such an order.
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

// next returns the address to try.
func (c *client) next() address {
	c.tries++
	return c.addrs[(c.tries-1)%len(c.addrs)]
}

// backoff is the pause before the next attempt after so many that failed, or that came to little. It is random by half, so
// that the clients of a hub that died do not all come back in the same moment.
func backoff(failed int) time.Duration {
	d := maxBackoff
	if failed < 10 {
		d = min(maxBackoff, minBackoff<<failed)
	}
	return d/2 + rand.N(d/2)
}

// readAll reads a connection until it ends and returns why, or until the hub has nothing more to say.
func (c *client) readAll(conn *conn) error {
	for !conn.left {
		m, err := conn.sock.Read(context.Background()) // ended by Close or Abort
		if err != nil {
			return err
		}
		c.receive(conn, m)
	}
	return nil
}

// receive deals with one message from the hub.
func (c *client) receive(conn *conn, m engineio.Message) {
	count := &c.node.counters
	count.bytesIn.Add(uint64(len(m.Data)))
	if m.Binary {
		count.malformed.Add(1)
		return
	}
	p, err := conn.parser.Parse(m.Data)
	if err != nil {
		count.malformed.Add(1)
		c.node.opts.Logger.Debug("mesh: refused a packet of the hub", "error", err)
		return
	}
	switch {
	case protocol.Relayed(p.Event):
		e := Event{Name: p.Event, Payload: p.Payload, From: p.From}
		if !conn.native {
			// A Node hub passes on whatever its clients write there.
			e.From = protocol.PayloadID(p.Payload)
		}
		c.hear(conn, kept{Event: e, n: p.N})
	case p.Event == protocol.NameHello && !conn.settled.Load():
		c.meet(conn, p.Payload)
	case p.Event == protocol.NameUnauthorized && (conn.native || !conn.settled.Load()):
		var r refusal
		_ = json.Unmarshal(p.Payload, &r) // without a message it is a refusal too
		conn.refused.Store(&AuthError{Message: r.Message[:min(len(r.Message), maxRefusal)]})
	case !conn.native:
		count.reserved.Add(1)
	case p.Event == protocol.NameNodes || p.Event == protocol.NameExplain:
		conn.questions.answer(p.Payload)
	case p.Event == protocol.NameJoin || p.Event == protocol.NameLeave:
		c.hear(conn, kept{Event: Event{Name: p.Event, Payload: p.Payload}, notice: true})
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
		var u unheard
		if json.Unmarshal(p.Payload, &u) == nil {
			c.node.inbox.fail(u.RID, ErrNoListener)
		}
	default:
		count.reserved.Add(1)
	}
}

// noteRefused takes note of events that the hub has not taken.
func (c *client) noteRefused(payload json.RawMessage) {
	var r refused
	if json.Unmarshal(payload, &r) != nil || r.Count < 1 {
		c.node.counters.malformed.Add(1)
		return
	}
	c.node.counters.refused.Add(uint64(r.Count))
	if c.refused.note() > 0 { // a hub says it at most once a second
		log := c.node.opts.Logger
		if r.Message != "" {
			log = log.With("message", cutText(r.Message))
		}
		log.Warn("mesh: the hub refuses events of this node", "rule", cutText(string(r.Rule)), "event", cutText(r.Event), "times", r.Count)
	}
}

// maxRefusal bounds what is kept of a refusal's message, in bytes.
const maxRefusal = 200

// meet takes note of a hub that speaks the extensions. It must know this node's ID, which it made from the key.
func (c *client) meet(conn *conn, payload json.RawMessage) {
	var h hello
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
