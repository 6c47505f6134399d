package mesh

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// routed is an event on its way to peers.
type routed struct {
	Event
	n uint64 // its number among those of its emitter; 0 if it has none
}

// routing is the memory of one route, so that it can be used again.
type routing struct {
	busy   *sync.RWMutex // one of the hub's; fixed
	search search[*peer]
	served []uint64 // a set of peers, by number
	packet []byte
	inner  []byte
	// The events that are being delivered, for peers that speak the extensions and for the others. They are encoded
	// when somebody is found to get them.
	native, foreign []engineio.Message
	held            held // of the row that is being routed
}

// source is where events come from that are routed together: they are all of one emitter.
type source struct {
	peer   *peer  // of this hub; nil if it is the hub itself, or at another hub
	remote bool   // they come from another hub
	hub    string // that one's ID
	// unheard, unless nil, is called if it becomes known that nobody at another hub listens.
	unheard func()
	// unsent, unless nil, is called if they cannot be sent to other hubs.
	unsent func(error)
}

// route sends events to every peer that wants them, except those of the node that emitted them, and to the other hubs. However
// many get an event, it is encoded at most twice: for peers that speak the extensions, and for the others. It returns the
// steps of the searches for the peers, and the events that sendHeld has to send.
//
// Events of a peer that is superseded are not routed, and counted: ok is false.
func (h *hub) route(events []routed, from source) (steps int, row held, ok bool) {
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	r.busy.RLock()
	defer r.busy.RUnlock()
	if from.peer != nil && from.peer.superseded.Load() { // and once it is, retire waits for those who have not seen it
		h.node.counters.late.Add(uint64(len(events)))
		return 0, nil, false
	}
	for len(events) > 0 {
		alike := 1
		for alike < len(events) && events[alike].Name == events[0].Name && events[alike].From == events[0].From {
			alike++
		}
		h.deliver(r, events[:alike], from)
		steps += r.search.steps
		if h.cluster != nil && !from.remote {
			h.cluster.publish(events[:alike], from)
		}
		events = events[alike:]
	}
	row, r.held = r.held, nil
	return steps, row, true
}

// deliver sends events of one name. Those who get them get all of them at once, because what a delivery costs is nearly
// all in going to the peer: the more there are, the less of it is in the processor's caches.
func (h *hub) deliver(r *routing, events []routed, from source) {
	defer r.reset()
	name := events[0].Name
	h.interest.find(name, &r.search)
	sent, size := 0, 0
	// In events of a hub's own the sender does not stand in the payload.
	named := from.peer != nil || from.remote && events[0].From != from.hub
	several, head := len(r.search.lists) > 1, headOf(events[0].From)
	restricted, withheld := h.node.opts.Permit != nil, 0
	for i, l := range r.search.lists {
		byPattern := i > 0 || !r.search.exact
		for p := range l.all() {
			// By its ID, because the emitter may be back on another connection, or have come here from another hub.
			if p.idHead == head && p.id == events[0].From || several && r.serves(p.number) || byPattern && p.keepsSilent(name) {
				continue
			}
			messages := &r.native
			if !p.negotiated {
				if name == protocol.NameError {
					continue // it would end a client of the original's
				}
				messages = &r.foreign
			}
			if restricted && !p.may(MayListen, name) {
				withheld++
				continue
			}
			if len(*messages) == 0 {
				for i := range events {
					*messages = append(*messages, r.encode(&events[i], named, p.negotiated))
				}
			}
			n := r.give(p, *messages, from)
			sent += n
			for i := range n {
				size += len((*messages)[i].Data)
			}
		}
	}
	if sent > 0 {
		h.node.counters.sent.Add(uint64(sent))
		h.node.counters.bytesOut.Add(uint64(size))
	}
	if withheld > 0 {
		h.node.counters.withheld.Add(uint64(withheld * len(events)))
	}
}

// headOf returns the first bytes of an ID as a number, 0 if it is too short for a peer's.
func headOf(id string) uint64 {
	if len(id) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64([]byte(id[:8]))
}

// send queues messages for a peer, and closes it if its queue has no room for them. It returns how many it queued.
func (p *peer) send(messages []engineio.Message) (sent int) {
	sent, err := p.sendBelow(p.hub.node.opts.QueueLimit, messages)
	if errors.Is(err, engineio.ErrQueueFull) {
		p.hub.node.counters.overflowed.Add(uint64(len(messages) - sent))
		p.overflow()
	}
	return sent
}

// reset forgets what was delivered.
func (r *routing) reset() {
	r.search.reset()
	clear(r.served)
	clear(r.native)
	clear(r.foreign)
	r.native, r.foreign = r.native[:0], r.foreign[:0]
}

// recycle keeps the memory of a route for the next one, unless it is large.
func (h *hub) recycle(r *routing) {
	if cap(r.packet)+cap(r.inner) <= maxSparePacket {
		h.routings.Put(r)
	}
}

// maxSparePacket bounds the buffers for packets that are kept for the next ones, in bytes.
const maxSparePacket = 256 << 10

// encode returns the packet that carries an event, ready to be shared. To a peer that speaks the extensions the payload
// goes byte for byte, and the sender beside it. Others get what the original's hub sends: the sender in the payload, if
// named; and ASCII only, which all dialects of Engine.IO agree on.
func (r *routing) encode(e *routed, named, native bool) engineio.Message {
	p := protocol.Packet{Event: e.Name, Payload: e.Payload}
	if native {
		p.From, p.N = e.From, e.n
	} else if named {
		r.inner = protocol.AppendWithID(r.inner[:0], e.Payload, e.From)
		p.Payload = r.inner
	}
	r.packet = protocol.AppendPacket(r.packet[:0], &p, !native)
	return engineio.Prepare(engineio.Message{Data: r.packet})
}

// serves adds a peer to the set of those that were served, and tells whether it was in there.
func (r *routing) serves(number int) bool {
	word, bit := number/64, uint64(1)<<(number%64)
	if word >= len(r.served) {
		r.served = append(r.served, make([]uint64, word+1-len(r.served))...)
	}
	was := r.served[word]&bit != 0
	r.served[word] |= bit
	return was
}

// gathering holds the events that a peer has sent in a row, and that are still to be routed.
type gathering struct {
	events []routed
	size   int    // bytes
	read   int    // bytes of the packets
	buf    []byte // what the packets stand in, but for the first; the events' payloads are in there

	began time.Time // when the first event was read, of a row that is measured; else zero
	rows  int       // ever
}

const (
	// maxGathered bounds what is gathered before it is routed, in bytes, and maxSpareGathered what is kept of the
	// memory for it, in events.
	maxGathered      = 64 << 10
	maxSpareGathered = 1024
	// measuredRow says which rows are measured for Stats.FanOut: the first, and then one in so many. Asking for the time
	// twice takes as long as a tenth of routing one event.
	measuredRow = 64
)

var gatherings = sync.Pool{New: func() any { return new(gathering) }}

// room returns memory for the next packet of a row, so that not each takes its own from the heap: an idle hub's every
// collection goes through all its peers. Before the first packet, which a peer may wait for as long as it likes, there is
// none.
func (p *peer) room() []byte {
	g := p.gathered
	if g == nil {
		return nil
	}
	if g.buf == nil {
		g.buf = make([]byte, 0, maxGathered)
	}
	return g.buf[len(g.buf):]
}

// gather notes an event for dispatch.
func (p *peer) gather(e routed) {
	if p.gathered == nil {
		g := gatherings.Get().(*gathering)
		if g.rows%measuredRow == 0 {
			g.began = time.Now()
		}
		g.rows++
		p.gathered = g
	}
	p.gathered.events = append(p.gathered.events, e)
	p.gathered.size += eventSize(e.Name, e.Payload)
}

// keep counts a packet, and notes what it may have taken of room.
func (p *peer) keep(packet []byte) {
	g := p.gathered
	if g == nil {
		p.hub.node.counters.bytesIn.Add(uint64(len(packet)))
		return
	}
	g.read += len(packet)
	if len(packet) <= cap(g.buf)-len(g.buf) {
		g.buf = g.buf[:len(g.buf)+len(packet)]
	}
}

// relay routes a row of events of size bytes. Rows whose events take many steps are routed one at a time: however many peers
// emit such events, the hub reads from them more slowly, and the other cores serve the other peers.
//
// It returns false if the peer is superseded.
func (p *peer) relay(events []routed, size int, from source) bool {
	h := p.hub
	h.cluster.attend(p.sock.Context())
	if p.dear {
		h.dear.Lock()
	}
	steps, row, ok := h.route(events, from)
	if p.dear {
		h.dear.Unlock()
	}
	p.dear = steps > dearSteps*len(events)
	h.node.counters.searchSteps.Add(uint64(steps))
	p.sendHeld(row, size)
	return ok
}

// dispatch deals with what was gathered, unless more is to come at once. It gives the memory away in which the packet stands
// that was read last, if others were before it in the row.
func (p *peer) dispatch(more bool) {
	g := p.gathered
	if g == nil || more && g.size < maxGathered {
		return
	}
	p.gathered = nil
	// Relayed first, so that nobody gets a listener's answer to an event before the event.
	if p.relay(g.events, g.size, source{peer: p}) {
		if !g.began.IsZero() {
			p.hub.node.counters.fanOut.add(time.Since(g.began))
		}
		p.hub.node.hearRow(g.events, p)
		p.hub.node.counters.received.Add(uint64(len(g.events))) // when they were dealt with, so that Stats never runs ahead
	}
	p.hub.node.counters.bytesIn.Add(uint64(g.read))
	clear(g.events)
	g.events, g.size, g.read, g.began, g.buf = g.events[:0], 0, 0, time.Time{}, g.buf[:0]
	if cap(g.events) <= maxSpareGathered {
		gatherings.Put(g)
	}
}
