package hub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// peer is a hub's state of one client. A field belongs to the goroutine that reads the session, unless it is atomic or
// a comment says otherwise.
type peer struct {
	// Fixed at creation.
	hub  *Hub
	sock *engineio.Socket
	slot int // the peer's number among the peers of this hub: see slots

	subscriber

	// Set with the peer's first packet. They do not change after the peer is in the index.
	name    string
	browser bool   // its User-Agent is that of a browser
	moves   bool   // it moves to another hub on request
	conn    uint64 // the number of this connection among the connections of the node; 0 if the node does not count them

	slow atomic.Bool // the hub disconnects it as too slow; set by any goroutine
	// superseded is set, with the roster locked, when the node is back on a newer connection. The hub then routes no
	// more events of this connection.
	superseded atomic.Bool
	since      time.Time    // fixed at creation
	seen       atomic.Int64 // when its last packet was processed, in Unix nanoseconds

	// The peer's goroutine writes these fields with the roster locked. Other goroutines read them with the roster
	// locked.
	table     []byte   // the last table, as received
	interests []string // the names and patterns that the index holds for the peer, sorted
	admitted  bool
	badTable  bool  // the last table was rejected, and the previous one applies
	claimed   bool  // the node emits here, and its older connections are superseded
	present   bool  // its join was reported to other nodes
	other     *peer // the next in the roster's list of the peers with this ID

	indexing sync.Mutex // held while the peer's entries in the index change

	parser     protocol.Parser
	lastSeq    uint64 // the sequence number of its last event, if the hub numbers the events
	batch      *batch // nil if there is no batch
	introduced bool
	beside     bool          // it is claimed with its first event, not with its first packet
	queries    limit.Bucket  // limits its queries
	limiter    *peerLimiter  // nil without Options.Rate
	flood      *limit.Bucket // the bytes that it emitted into half-full queues: see shareOfQueue; nil before the first
	wasHeavy   bool          // the last batch that it emitted was heavy: see relay
	lastReport time.Time     // when the last report of rejected events was sent to it
	unreported int           // the number of rejected events since that report

	// State of the authorization.
	decided        bool // the hub has decided about user and password
	user, password string
	rejections     int
	unauthTimer    *time.Timer // disconnects a peer that is not admitted; nil for an admitted peer and without Options.Authorize
}

const (
	// maxRejections limits the number of rejected credentials of a peer. Authorize is not called for further ones.
	maxRejections = 8
	// minKey is the minimum length of the key from which an ID is made, in bytes: 128 bits in hexadecimal have 32.
	minKey = 16
)

func (h *Hub) newPeer(s *engineio.Socket) *peer {
	p := &peer{hub: h, sock: s, slot: h.slots.acquire(), since: time.Now(), limiter: newPeerLimiter(h.conf.Rate)}
	if h.conf.Permit != nil {
		p.permits = &permits{permit: h.conf.Permit}
	}
	h.conf.Counters.Connections.Add(1)
	p.count(1)
	if h.conf.Authorize != nil {
		p.startUnauthTimer()
	}
	return p
}

func (h *Hub) removePeer(p *peer) {
	h.roster.remove(p)
	p.setInterests(nil, nil)
	h.slots.release(p.slot) // after the peer has left the index
	if p.unauthTimer != nil {
		p.unauthTimer.Stop()
	}
	h.signalDeparture()
}

func (p *peer) log() *slog.Logger {
	remote := ""
	if r := p.sock.Request(); r != nil {
		remote = r.RemoteAddr
	}
	return p.hub.conf.Logger.With("peer", p.id, "name", p.name, "remote", remote)
}

// Nearly all clients write the packets of these events with these prefixes. The prefixes only select the goroutine.
var (
	handshakePrefix   = []byte(`{"event":"` + protocol.NameHandshake + `"`)
	newListenerPrefix = []byte(`{"event":"` + protocol.NameNewListener + `"`)
	queryPrefix       = []byte(`{"event":"$mesh.`)
)

// receiveMessage is like receive, but processes control packets on a goroutine that it waits for. Authorize and a table
// need more stack than an idle reader has, and the reader would keep a stack that has grown. Most peers of a hub send a
// table and then only listen, so this saves 2 KB for each of them.
func (p *peer) receiveMessage(ctx context.Context, m engineio.Message) (goesOn bool) {
	if bytes.HasPrefix(m.Data, handshakePrefix) || bytes.HasPrefix(m.Data, newListenerPrefix) || bytes.HasPrefix(m.Data, queryPrefix) {
		return p.receiveElsewhere(ctx, m)
	}
	return p.receive(ctx, m)
}

func (p *peer) receiveElsewhere(ctx context.Context, m engineio.Message) (goesOn bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		goesOn = p.receive(ctx, m)
	}()
	<-done
	return goesOn
}

// logEnd logs the end of a peer. It is not inlined, because the stack of its caller must stay small.
//
//go:noinline
func (p *peer) logEnd(err error) {
	level := slog.LevelDebug // a peer that was never admitted may be a port scanner
	if p.admitted {
		level = slog.LevelInfo
	}
	if errors.Is(err, engineio.ErrBufferLimit) && !p.slow.Swap(true) {
		p.hub.conf.Counters.SlowPeers.Add(1)
	}
	p.log().Log(context.Background(), level, "mesh: peer left", "error", err)
}

// receive processes one message. It returns false if the session must end.
func (p *peer) receive(ctx context.Context, m engineio.Message) bool {
	if m.Binary {
		p.flush()
		p.reject(wire.RuleMalformed)
		return p.throttle(ctx, len(m.Data))
	}
	packet, err := p.parser.Parse(m.Data)
	if err != nil {
		p.flush()
		p.reject(wire.RuleMalformed, "error", err)
		return p.throttle(ctx, len(m.Data))
	}
	isEvent := protocol.Relayed(packet.Event)
	if !isEvent || (len(packet.EventTable) > 0 || packet.Headers.Auth != nil) && p.changedBy(&packet) {
		p.flush()
	}
	if !p.introduced {
		p.introduce(packet.Headers.Mesh)
	}
	if why := p.authorize(ctx, packet.Headers.Auth); why != nil {
		p.reject(protocol.RuleMuted)
		if !p.negotiated {
			return p.throttle(ctx, len(m.Data))
		}
		// When ServeSocket returns, the session writes this and closes.
		_ = p.sock.TryWrite(wire.Control(protocol.NameUnauthorized, wire.Unauthorized{Message: why.Error()}))
		return false
	}
	if !p.claimed && !p.claim(ctx, packet.Event) {
		return false
	}
	if len(packet.EventTable) > 0 {
		if version := p.readTable(packet.EventTable); version > 0 {
			p.hub.others.Await(ctx, version)
		}
	}
	if !p.present {
		p.announceJoin() // after this packet's table, if it has one, so that the report lists the subscriptions
	}
	switch {
	case isEvent:
		p.takeEvent(&packet, len(m.Data))
		return true
	case packet.Event == protocol.NameHandshake || packet.Event == protocol.NameNewListener:
	case packet.Event == protocol.NameNodes:
		p.answerNodes(ctx, packet.Payload)
	case packet.Event == protocol.NameExplain:
		p.answerExplain(ctx, packet.Payload)
	case packet.Event == protocol.NameSync && p.negotiated:
		p.answerSync(ctx, packet.Payload)
	case packet.Event == protocol.NameLeaving && p.negotiated:
		p.releaseMoved(ctx)
	default:
		p.reject(protocol.RuleReserved)
	}
	return p.throttle(ctx, len(m.Data))
}

// changedBy reports whether a packet has another event table or other credentials than the peer's last one. The batch is
// routed before the change.
func (p *peer) changedBy(packet *protocol.Packet) bool {
	auth := packet.Headers.Auth
	return len(packet.EventTable) > 0 && !bytes.Equal(packet.EventTable, p.table) ||
		auth != nil && p.hub.conf.Authorize != nil && (auth.User != p.user || auth.Password != p.password)
}

// takeEvent adds an event to the batch, or rejects it. If the event is a request, which has an RID, and no node at this
// hub subscribes to it, takeEvent sends it to the other hubs at once.
func (p *peer) takeEvent(packet *protocol.Packet, size int) {
	switch {
	case p.limiter != nil && !p.limiter.allowEvent(size):
		p.rejectEvent(wire.RuleRate, packet.Event)
	case !p.may(Emit, packet.Event):
		p.rejectEvent(protocol.RuleMayNotEmit, packet.Event)
	default:
		e := wire.Event{Name: packet.Event, Payload: packet.Payload, From: p.id, N: p.sequenceOf(packet.N)}
		if packet.RID != "" && !p.hub.others.Alone() && !p.hub.hasSubscriber(packet.Event, p) {
			p.request(e, packet.RID)
			return
		}
		p.collect(e)
		if packet.RID == "" || p.hub.hasSubscriber(packet.Event, p) {
			return
		}
	}
	if packet.RID != "" && p.negotiated {
		p.reply(protocol.NameUnheard, wire.Unheard{RID: packet.RID})
	}
}

// request sends an event without a subscriber at this hub to the other hubs. It reports to the peer if no other hub has
// a subscriber either.
func (p *peer) request(e wire.Event, rid string) {
	p.flush()
	taken := p.relay([]wire.Event{e}, wire.Size(e.Name, e.Payload), source{peer: p, unheard: func() {
		if p.negotiated {
			p.reply(protocol.NameUnheard, wire.Unheard{RID: rid})
		}
	}})
	if taken {
		p.hub.conf.Counters.Received.Add(1)
	}
}

// sequenceOf returns the sequence number of an event. A peer that negotiated the extensions and counts its events keeps
// its own numbers, also at the next hub. If such a peer does not count them, a hub that is not clustered gives them no
// number, which is 0. A clustered hub numbers them, and begins with the current time in microseconds: the peer has the
// same ID at every hub, so no number occurs twice. For all other peers, the hub numbers the events from 1.
func (p *peer) sequenceOf(own uint64) uint64 {
	if p.negotiated && (own != 0 || !p.hub.clustered) {
		return own
	}
	if p.negotiated && p.lastSeq == 0 {
		p.lastSeq = uint64(time.Now().UnixMicro())
	}
	p.lastSeq++
	return p.lastSeq
}

// throttle delays a peer that sends more than its rate. The hub has then processed the message of size bytes and all
// earlier messages of the peer. throttle returns false if the session has ended.
func (p *peer) throttle(ctx context.Context, size int) bool {
	if p.limiter == nil {
		return true
	}
	return limit.Wait(ctx, p.limiter.reserve(size))
}

// introduce reads the first packet's offer. The hub ignores a later offer, because it may have sent the peer packets in
// the other form already.
func (p *peer) introduce(offer *protocol.Hello) {
	p.introduced = true
	if offer != nil && offer.V >= protocol.Version && len(offer.Key) >= minKey {
		p.negotiated, p.moves, p.id, p.name = true, offer.Moves, protocol.ID(offer.Key), offer.Name
		p.conn, p.beside = offer.Conn, offer.Beside
	} else {
		p.id = wire.NewID()
	}
	p.idHead = headOf(p.id)
	p.hub.roster.add(p)
}

// overflow disconnects a peer whose queue is full. Any goroutine may call it.
func (p *peer) overflow() { p.closeSlow("mesh: peer closed: it is too slow, its queue is full") }

// closeSlow disconnects a slow peer. Any goroutine may call it.
func (p *peer) closeSlow(why string) {
	if p.slow.Swap(true) {
		return
	}
	p.hub.conf.Counters.SlowPeers.Add(1)
	p.log().Warn(why, "queued", p.sock.Queued(), "limit", p.hub.conf.QueueLimit)
	p.sock.Abort(fault.ErrSlowPeer)
}
