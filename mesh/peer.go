package mesh

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// peer is what a hub knows of one client. Fields without a comment belong to the goroutine that reads its session.
type peer struct {
	hub    *hub
	sock   *engineio.Socket
	number int // fixed at creation

	// Set with the peer's first packet, and fixed from when the index has the peer.
	id         string
	idHead     uint64 // of id: routing looks at each peer, and id is in memory that it need not load otherwise
	name       string
	negotiated bool   // it speaks the extensions
	browser    bool   // its User-Agent is a browser's
	moves      bool   // it goes to another hub when it is told to
	conn       uint64 // the number of this connection among the node's; 0 if the node does not count them

	// silent holds the names that the peer's table keeps from it although a pattern of it wants them. Nearly always
	// nil. Read by all routing goroutines.
	silent  atomic.Pointer[map[string]struct{}]
	permits *permits    // nil if everything is permitted; fixed at creation
	slow    atomic.Bool // its queue was full; set by any goroutine
	// superseded is set, with the roster locked, when the node is back on a newer connection. Nothing of this one is routed
	// from then on.
	superseded atomic.Bool
	since      time.Time    // fixed at creation
	seen       atomic.Int64 // when its last packet was dealt with, in Unix nanoseconds

	// Written by the peer's goroutine, with the roster locked; others read them with the roster locked.
	table     []byte   // the last one, as it came
	interests []string // what the index has, sorted
	admitted  bool
	badTable  bool  // the last table was rejected, and the one before is in force
	claimed   bool  // the node emits here: its older connections are superseded
	present   bool  // others were told that it has joined
	other     *peer // the next of the roster's list of the peers with this ID

	indexing sync.Mutex // held while the index gets other interests of the peer

	parser    protocol.Parser
	numbered  uint64     // the number of its last event, if the hub numbers them
	gathered  *gathering // nil if nothing is
	met       bool
	beside    bool      // it is claimed with its first event
	questions bucket    // how many more it may ask
	pace      *pace     // nil if there is no limit
	share     *bucket   // what it has emitted into queues that are half full; nil if nothing
	dear      bool      // the last event that it emitted took many steps to route
	told      time.Time // when it was last told of events that were refused
	untold    int       // those refused since

	// Authorization.
	judged         bool // user and password were shown to Authorize
	user, password string
	refusals       int
	mute           *time.Timer // ends a peer that is not admitted; nil if it is, or if all are
}

const (
	// maxRefusals bounds how many credentials one peer may try.
	maxRefusals = 8
	// minKey bounds from below the keys from which IDs are made, in bytes: 128 bits in hex have 32.
	minKey = 16
)

func (h *hub) join(s *engineio.Socket) *peer {
	p := &peer{hub: h, sock: s, number: h.numbers.take(), since: time.Now(), pace: newPace(h.node.opts.Rate)}
	if h.node.opts.Permit != nil {
		p.permits = new(permits)
	}
	h.node.counters.connections.Add(1)
	p.count(1)
	if h.node.opts.Authorize != nil {
		p.startMute()
	}
	return p
}

func (h *hub) leave(p *peer) {
	h.roster.remove(p)
	p.setInterests(nil, nil)
	h.numbers.give(p.number) // only now: the index does not have it any more
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
	return p.hub.node.opts.Logger.With("peer", p.id, "name", p.name, "remote", remote)
}

// Control packets begin like this, whoever writes them.
var (
	handshakePrefix   = []byte(`{"event":"` + protocol.NameHandshake + `"`)
	newListenerPrefix = []byte(`{"event":"` + protocol.NameNewListener + `"`)
	questionPrefix    = []byte(`{"event":"$mesh.`)
)

// take is receive, for control packets on a goroutine that it waits for: Authorize and a table need more stack than an
// idle reader has, and what that once got it would keep. A hub's peers are mostly those who announce their table and
// then listen, and this is 2 KB for each.
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

// left is no part of its caller, whose stack an idle peer keeps.
//
//go:noinline
func (p *peer) left(err error) {
	level := slog.LevelDebug // whoever was never admitted is nobody's peer: a scanner of ports, perhaps
	if p.admitted {
		level = slog.LevelInfo
	}
	if errors.Is(err, engineio.ErrBufferLimit) && !p.slow.Swap(true) {
		p.hub.node.counters.slowPeers.Add(1)
	}
	p.log().Log(context.Background(), level, "mesh: peer left", "error", err)
}

// receive deals with one message. It returns false if the session is to end.
func (p *peer) receive(ctx context.Context, m engineio.Message) bool {
	if m.Binary {
		p.refuse(RuleMalformed)
		return p.slowDown(ctx, len(m.Data))
	}
	packet, err := p.parser.Parse(m.Data)
	if err != nil {
		p.refuse(RuleMalformed, "error", err)
		return p.slowDown(ctx, len(m.Data))
	}
	if !p.met {
		p.meet(packet.Headers.Mesh)
	}
	if why := p.authorize(ctx, packet.Headers.Auth); why != nil {
		p.refuse(RuleMuted)
		if !p.negotiated {
			return p.slowDown(ctx, len(m.Data))
		}
		// The answer to ServeSocket's return is that this is flushed and the session closed.
		_ = p.sock.TryWrite(reserved(protocol.NameUnauthorized, refusal{Message: why.Error()}))
		return false
	}
	if !p.claimed && !p.claim(ctx, packet.Event) {
		return false
	}
	if len(packet.EventTable) > 0 {
		if version := p.readTable(packet.EventTable); version > 0 {
			packet.Payload = bytes.Clone(packet.Payload) // dispatch gives its memory away
			p.dispatch(false)
			p.hub.cluster.await(ctx, version)
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
		p.refuse(RuleReserved)
	}
	return p.slowDown(ctx, len(m.Data))
}

// takeEvent takes an event, or refuses it.
func (p *peer) takeEvent(packet *protocol.Packet, size int) {
	switch {
	case p.pace != nil && !p.pace.event(size):
		p.refuseEvent(RuleRate, packet.Event)
	case !p.may(MayEmit, packet.Event):
		p.refuseEvent(RuleMayNotEmit, packet.Event)
	default:
		e := routed{Event{Name: packet.Event, Payload: packet.Payload, From: p.id}, p.numberOf(packet.N)}
		if packet.RID != "" && p.hub.cluster != nil && !p.hub.cluster.alone() && !p.hub.heard(packet.Event, p) {
			p.request(e, packet.RID)
			return
		}
		p.gather(e)
		if packet.RID == "" || p.hub.heard(packet.Event, p) {
			return
		}
	}
	if packet.RID != "" && p.negotiated {
		p.reply(protocol.NameUnheard, unheard{RID: packet.RID})
	}
}

// request sends an event that nobody listens to here to the other hubs, and tells the peer if nobody does there either.
func (p *peer) request(e routed, rid string) {
	e.Payload = bytes.Clone(e.Payload) // dispatch gives its memory away
	p.dispatch(false)
	taken := p.relay([]routed{e}, eventSize(e.Name, e.Payload), source{peer: p, unheard: func() {
		if p.negotiated {
			p.reply(protocol.NameUnheard, unheard{RID: rid})
		}
	}})
	if taken {
		p.hub.node.counters.received.Add(1)
	}
}

// numberOf returns the number of an event, which is the peer's own if it counts: it goes on counting at the next hub. The
// others are counted from the time on, in microseconds, if they have the same ID there: no number comes twice.
func (p *peer) numberOf(own uint64) uint64 {
	if p.negotiated && (own != 0 || p.hub.cluster == nil) {
		return own
	}
	if p.negotiated && p.numbered == 0 {
		p.numbered = uint64(time.Now().UnixMicro())
	}
	p.numbered++
	return p.numbered
}

// slowDown has a peer wait that sends more than it may, once what it sent before was dealt with. It returns false if the
// session has ended.
func (p *peer) slowDown(ctx context.Context, size int) bool {
	if p.pace == nil {
		return true
	}
	wait := p.pace.other(size)
	if wait > 0 {
		p.dispatch(false)
	}
	return pause(ctx, wait)
}

// meet notes what the first packet says about the peer. A later offer would come too late: the peer may have been sent
// packets in the other form already.
func (p *peer) meet(offer *protocol.Hello) {
	p.met = true
	if offer != nil && offer.V >= protocol.Version && len(offer.Key) >= minKey {
		p.negotiated, p.moves, p.id, p.name = true, offer.Moves, protocol.ID(offer.Key), offer.Name
		p.conn, p.beside = offer.Conn, offer.Beside
	} else {
		p.id = randomHex()
	}
	p.idHead = headOf(p.id)
	p.hub.roster.add(p)
}

// hello and refusal are the payloads of the reserved packets.
type hello struct {
	V    int    `json:"v"`
	ID   string `json:"id"`
	Hub  string `json:"hub"`
	Name string `json:"name"`
}

type refusal struct {
	Message string `json:"message"`
}

type unheard struct {
	RID string `json:"rid"`
}

func reserved(event string, payload any) engineio.Message {
	raw, err := encodePayload(event, payload)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return engineio.Message{Data: protocol.AppendPacket(nil, &protocol.Packet{Event: event, Payload: raw}, true)}
}

// overflow closes a peer whose queue is full. Any goroutine may call it.
func (p *peer) overflow() { p.close("mesh: peer closed: it is too slow, its queue is full") }

// close closes a slow peer. Any goroutine may call it.
func (p *peer) close(why string) {
	if p.slow.Swap(true) {
		return
	}
	p.hub.node.counters.slowPeers.Add(1)
	p.log().Warn(why, "queued", p.sock.Queued(), "limit", p.hub.node.opts.QueueLimit)
	p.sock.Abort(ErrSlowPeer)
}
