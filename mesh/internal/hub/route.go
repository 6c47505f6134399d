package hub

import (
	"errors"
	"sync"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// routing is the memory of one search for subscribers, with a shard of Hub.inflight. route, hasSubscriber and tryHeld
// take it from a pool.
type routing struct {
	inflight *sync.RWMutex // one shard of Hub.inflight; fixed
	search   interest.Search[*peer]
	served   []uint64 // the set of the peers that the search has found already, as a bit for each slot
	packet   []byte
	inner    []byte
	// The events that are being delivered, as packets for peers that negotiated the extensions (nodes of this package,
	// and peers that introduce themselves in the same way) and for other peers. They are encoded when the first such
	// peer is found.
	native, foreign []engineio.Message
	held            heldEvents // the events of the current call that wait for room in queues: see hold.go
}

// source describes where events come from. Events that are routed together have the same emitter.
type source struct {
	peer   *peer  // of this hub; nil for events of the hub itself and of another hub
	remote bool   // the events come from another hub
	hub    string // the ID of that hub
	// unheard, if not nil, is called when it is known that no other hub has a subscriber.
	unheard func()
	// unsent, if not nil, is called if the events cannot be sent to other hubs.
	unsent func(error)
}

// route sends events to every subscribed peer, except the peers of the emitting node. It also sends them to the other
// hubs, unless they come from one. It encodes an event at most twice, however many peers get it: for peers that
// negotiated the extensions, and for other peers. It returns the steps of the searches for peers, and the events that
// sendHeld must send.
//
// route drops and counts the events of a superseded peer, whose node is back on a newer connection: see supersede.go.
// ok is then false.
func (h *Hub) route(events []wire.Event, from source) (steps int, waiting heldEvents, ok bool) {
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	r.inflight.RLock()
	defer r.inflight.RUnlock()
	if from.peer != nil && from.peer.superseded.Load() { // endSuperseded waits for the calls that have not seen it
		h.conf.Counters.Late.Add(uint64(len(events)))
		return 0, nil, false
	}
	for len(events) > 0 {
		alike := 1
		for alike < len(events) && events[alike].Name == events[0].Name {
			alike++
		}
		h.routeName(r, events[:alike], from)
		steps += r.search.Steps
		if !from.remote {
			h.others.Publish(events[:alike], from.unheard, from.unsent)
		}
		events = events[alike:]
	}
	waiting, r.held = r.held, nil
	return steps, waiting, true
}

// routeName sends events of one name. Each peer gets all of them at once. Nearly all the cost of a delivery is in
// loading the peer's data, so the next events for the same peer find it in the processor's caches.
func (h *Hub) routeName(r *routing, events []wire.Event, from source) {
	defer r.reset()
	name := events[0].Name
	h.interest.Find(name, &r.search)
	sent, size := 0, 0
	// The payload of a hub's own event does not contain the sender.
	named := from.peer != nil || from.remote && events[0].From != from.hub
	e, several, withheld := emissionOf(name, events[0].From), len(r.search.Lists) > 1, 0
	for i, l := range r.search.Lists {
		e = e.matchedBy(r.search.ByPattern(i))
		for p := range l.All() {
			if several && r.markServed(p.slot) {
				continue
			}
			if v := p.decide(&e); v != deliver {
				if v == notPermitted {
					withheld++
				}
				continue
			}
			messages := &r.native
			if !p.negotiated {
				messages = &r.foreign
			}
			if len(*messages) == 0 {
				for i := range events {
					*messages = append(*messages, r.encode(&events[i], named, p.negotiated))
				}
			}
			n := r.send(p, *messages, from)
			sent += n
			for i := range n {
				size += len((*messages)[i].Data)
			}
		}
	}
	if sent > 0 {
		h.conf.Counters.Sent.Add(uint64(sent))
		h.conf.Counters.BytesOut.Add(uint64(size))
	}
	if withheld > 0 {
		h.conf.Counters.Withheld.Add(uint64(withheld * len(events)))
	}
}

// sendAll queues messages for a peer, and disconnects the peer if its queue has no room. It returns the number of
// queued messages.
func (p *peer) sendAll(messages []engineio.Message) (sent int) {
	sent, err := p.sendBelow(p.hub.conf.QueueLimit, messages)
	if errors.Is(err, engineio.ErrQueueFull) {
		p.hub.conf.Counters.Overflowed.Add(uint64(len(messages) - sent))
		p.overflow()
	}
	return sent
}

// reset clears the routing for the next delivery.
func (r *routing) reset() {
	r.search.Reset()
	clear(r.served)
	clear(r.native)
	clear(r.foreign)
	r.native, r.foreign = r.native[:0], r.foreign[:0]
}

// recycle returns a routing to the pool, unless its buffers are large.
func (h *Hub) recycle(r *routing) {
	if cap(r.packet)+cap(r.inner) <= maxSparePacket {
		h.routings.Put(r)
	}
}

// maxSparePacket limits the packet buffers that the hub reuses, in bytes.
const maxSparePacket = 256 << 10

// encode returns the packet that carries an event, prepared for several peers. For a peer that negotiated the
// extensions, the packet holds the payload byte for byte, and the sender in a field beside it. Other peers get a packet
// like those of the original hub: the payload contains the sender, if named is set. That packet is ASCII only, because
// all dialects of Engine.IO treat ASCII alike.
func (r *routing) encode(e *wire.Event, named, native bool) engineio.Message {
	p := protocol.Packet{Event: e.Name, Payload: e.Payload}
	if native {
		p.From, p.N = e.From, e.N
	} else if named {
		r.inner = protocol.AppendWithID(r.inner[:0], e.Payload, e.From)
		p.Payload = r.inner
	}
	r.packet = protocol.AppendPacket(r.packet[:0], &p, !native)
	return engineio.Prepare(engineio.Message{Data: r.packet})
}

// markServed adds a peer to the set of served peers, and reports whether it was in the set already.
func (r *routing) markServed(slot int) bool {
	word, bit := slot/64, uint64(1)<<(slot%64)
	if word >= len(r.served) {
		r.served = append(r.served, make([]uint64, word+1-len(r.served))...)
	}
	was := r.served[word]&bit != 0
	r.served[word] |= bit
	return was
}

// heavySteps is the average number of search steps for one event above which a batch is heavy: see peer.relay.
const heavySteps = 2048

// relay routes a batch of events of size bytes. A batch is heavy if the searches for its events took more than
// heavySteps steps each, on average. The hub routes the next batch of the same peer with Hub.heavy held. However many
// peers emit only heavy events, they occupy one core, apart from the first batch of each peer: the hub reads from them
// more slowly, and the other cores serve the other peers.
//
// It returns false if the peer is superseded.
func (p *peer) relay(events []wire.Event, size int, from source) bool {
	h := p.hub
	h.others.Attend(p.sock.Context()) // after a stall, first learn which nodes have reconnected to other hubs
	if p.wasHeavy {
		h.heavy.Lock()
	}
	steps, waiting, ok := h.route(events, from)
	if p.wasHeavy {
		h.heavy.Unlock()
	}
	p.wasHeavy = steps > heavySteps*len(events)
	h.conf.Counters.SearchSteps.Add(uint64(steps))
	p.sendHeld(waiting, size)
	return ok
}
