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

// peer is a hub's state of one client. Fields without a comment belong to the goroutine that reads the session.
type peer struct {
	hub    *Hub
	sock   *engineio.Socket
	number int // the peer's slot; fixed at creation

	// Set with the peer's first packet. They do not change after the peer is in the index.
	id         string
	idHead     uint64 // the head of id: routing compares it for each peer, without loading the memory of id
	name       string
	negotiated bool   // it negotiated the extensions
	browser    bool   // its User-Agent is that of a browser
	moves      bool   // it moves to another hub on request
	conn       uint64 // the number of this connection among the connections of the node; 0 if the node does not count them

	// silent holds the names that the peer's table excludes although one of its patterns matches them. It is nil in
	// nearly all cases. All routing goroutines read it.
	silent  atomic.Pointer[map[string]struct{}]
	permits *permits    // nil without Options.Permit; fixed at creation
	slow    atomic.Bool // the hub disconnects it as too slow; set by any goroutine
	// superseded is set, with the roster locked, when the node is back on a newer connection. The hub then routes no
	// more events of this connection.
	superseded atomic.Bool
	since      time.Time    // fixed at creation
	seen       atomic.Int64 // when its last packet was processed, in Unix nanoseconds

	// The peer's goroutine writes these fields with the roster locked. Other goroutines read them with the roster
	// locked.
	table     []byte   // the last table, as received
	interests []string // the patterns that the index holds for the peer, sorted
	admitted  bool
	badTable  bool  // the last table was rejected, and the previous one applies
	claimed   bool  // the node emits here, and its older connections are superseded
	present   bool  // its join was reported to other nodes
	other     *peer // the next in the roster's list of the peers with this ID

	indexing sync.Mutex // held while the peer's patterns in the index change

	parser    protocol.Parser
	numbered  uint64     // the sequence number of its last event, if the hub numbers the events
	gathered  *gathering // nil if there is no batch
	met       bool
	beside    bool          // it is claimed with its first event, not with its first packet
	questions limit.Bucket  // limits its queries
	pace      *pace         // nil without Options.Rate
	share     *limit.Bucket // the bytes that it emitted into half-full queues; nil before the first such event
	dear      bool          // the last batch that it emitted was dear: see relay
	told      time.Time     // when the last report of rejected events was sent to it
	untold    int           // the number of rejected events since that report

	// State of the authorization.
	judged         bool // the hub has decided about user and password
	user, password string
	refusals       int
	mute           *time.Timer // disconnects a peer that is not admitted; nil for an admitted peer and without Options.Authorize
}

const (
	// maxRefusals limits the number of rejected credentials of a peer. Authorize is not called for further ones.
	maxRefusals = 8
	// minKey is the minimum length of the key from which an ID is made, in bytes: 128 bits in hexadecimal have 32.
	minKey = 16
)

func (h *Hub) join(s *engineio.Socket) *peer {
	p := &peer{hub: h, sock: s, number: h.numbers.take(), since: time.Now(), pace: newPace(h.conf.Rate)}
	if h.conf.Permit != nil {
		p.permits = new(permits)
	}
	h.conf.Counters.Connections.Add(1)
	p.count(1)
	if h.conf.Authorize != nil {
		p.startMute()
	}
	return p
}

func (h *Hub) leave(p *peer) {
	h.roster.remove(p)
	p.setInterests(nil, nil)
	h.numbers.give(p.number) // after the peer has left the index
	if p.mute != nil {
		p.mute.Stop()
	}
	h.departed()
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
	questionPrefix    = []byte(`{"event":"$mesh.`)
)

// take is like receive, but processes control packets on a goroutine that it waits for. Authorize and a table need more
// stack than an idle reader has, and the reader would keep a stack that has grown. Most peers of a hub send a table and
// then only listen, so this saves 2 KB for each of them.
func (p *peer) take(ctx context.Context, m engineio.Message) (goesOn bool) {
	if bytes.HasPrefix(m.Data, handshakePrefix) || bytes.HasPrefix(m.Data, newListenerPrefix) || bytes.HasPrefix(m.Data, questionPrefix) {
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

// left logs the end of a peer. It is not inlined, because the stack of its caller must stay small.
//
//go:noinline
func (p *peer) left(err error) {
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
		p.refuse(wire.RuleMalformed)
		return p.slowDown(ctx, len(m.Data))
	}
	packet, err := p.parser.Parse(m.Data)
	if err != nil {
		p.refuse(wire.RuleMalformed, "error", err)
		return p.slowDown(ctx, len(m.Data))
	}
	if !p.met {
		p.meet(packet.Headers.Mesh)
	}
	if why := p.authorize(ctx, packet.Headers.Auth); why != nil {
		p.refuse(protocol.RuleMuted)
		if !p.negotiated {
			return p.slowDown(ctx, len(m.Data))
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
			packet.Payload = bytes.Clone(packet.Payload) // dispatch frees the memory of the payload
			p.dispatch(false)
			p.hub.others.Await(ctx, version)
		}
	}
	if !p.present {
		p.appear() // with its first table
	}
	switch {
	case protocol.Relayed(packet.Event):
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
		p.depart(ctx)
	default:
		p.refuse(protocol.RuleReserved)
	}
	return p.slowDown(ctx, len(m.Data))
}

// takeEvent adds an event to the batch, or rejects it. If the event asks for a report and has no listener at this hub,
// takeEvent sends it to the other hubs at once.
func (p *peer) takeEvent(packet *protocol.Packet, size int) {
	switch {
	case p.pace != nil && !p.pace.event(size):
		p.refuseEvent(wire.RuleRate, packet.Event)
	case !p.may(Emit, packet.Event):
		p.refuseEvent(protocol.RuleMayNotEmit, packet.Event)
	default:
		e := wire.Event{Name: packet.Event, Payload: packet.Payload, From: p.id, N: p.numberOf(packet.N)}
		if packet.RID != "" && !p.hub.others.Alone() && !p.hub.heard(packet.Event, p) {
			p.request(e, packet.RID)
			return
		}
		p.gather(e)
		if packet.RID == "" || p.hub.heard(packet.Event, p) {
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
	e.Payload = bytes.Clone(e.Payload) // dispatch frees the memory of the payload
	p.dispatch(false)
	taken := p.relay([]wire.Event{e}, wire.Size(e.Name, e.Payload), source{peer: p, unheard: func() {
		if p.negotiated {
			p.reply(protocol.NameUnheard, wire.Unheard{RID: rid})
		}
	}})
	if taken {
		p.hub.conf.Counters.Received.Add(1)
	}
}

// numberOf returns the sequence number of an event. A peer that counts its events keeps its own numbers, also at the
// next hub. The hub numbers the events of other peers. If such a peer has the same ID at every hub, its numbers begin
// with the current time in microseconds, so that no number occurs twice.
func (p *peer) numberOf(own uint64) uint64 {
	if p.negotiated && (own != 0 || !p.hub.clustered) {
		return own
	}
	if p.negotiated && p.numbered == 0 {
		p.numbered = uint64(time.Now().UnixMicro())
	}
	p.numbered++
	return p.numbered
}

// slowDown makes a peer wait that sends more than its rate, after the hub has processed the earlier messages. It
// returns false if the session has ended.
func (p *peer) slowDown(ctx context.Context, size int) bool {
	if p.pace == nil {
		return true
	}
	wait := p.pace.other(size)
	if wait > 0 {
		p.dispatch(false)
	}
	return limit.Wait(ctx, wait)
}

// meet reads the first packet's offer. The hub ignores a later offer, because it may have sent the peer packets in the
// other form already.
func (p *peer) meet(offer *protocol.Hello) {
	p.met = true
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
func (p *peer) overflow() { p.close("mesh: peer closed: it is too slow, its queue is full") }

// close disconnects a slow peer. Any goroutine may call it.
func (p *peer) close(why string) {
	if p.slow.Swap(true) {
		return
	}
	p.hub.conf.Counters.SlowPeers.Add(1)
	p.log().Warn(why, "queued", p.sock.Queued(), "limit", p.hub.conf.QueueLimit)
	p.sock.Abort(fault.ErrSlowPeer)
}
