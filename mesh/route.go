package mesh

import (
	"errors"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// routing is the memory of one route, so that it can be used again.
type routing struct {
	search search[*peer]
	served []uint64 // a set of peers, by number
	packet []byte
	inner  []byte
}

// route sends an event to every peer that wants it, except sender, which is nil for the hub's own events. However many
// get it, it is encoded at most twice: for peers that speak the extensions, and for the others.
func (h *hub) route(event string, payload []byte, from string, sender *peer) {
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	h.interest.find(event, &r.search)

	var native, foreign engineio.Message // Data is nil until somebody gets it
	sent := uint64(0)
	several := len(r.search.lists) > 1
	for i, l := range r.search.lists {
		byPattern := i > 0 || !r.search.exact
		for p := range l.all() {
			if p == sender || several && r.serves(p.number) || byPattern && p.keepsSilent(event) {
				continue
			}
			m := &native
			if !p.negotiated {
				if event == protocol.NameError {
					continue // it would end a client of the original's
				}
				m = &foreign
			}
			if m.Data == nil {
				*m = r.encode(event, payload, from, sender, p.negotiated)
			}
			switch err := p.sock.TryWrite(*m); {
			case err == nil:
				sent++
			case errors.Is(err, engineio.ErrQueueFull):
				p.overflow()
			}
		}
	}
	if sent > 0 {
		h.node.counters.sent.Add(sent)
	}
}

// recycle keeps the memory of a route for the next one, unless it is large.
func (h *hub) recycle(r *routing) {
	r.search.reset()
	clear(r.served)
	if cap(r.packet)+cap(r.inner) <= maxSparePacket {
		h.routings.Put(r)
	}
}

// maxSparePacket bounds the buffers for packets that are kept for the next ones, in bytes.
const maxSparePacket = 256 << 10

// encode returns the packet that carries an event, ready to be shared. To a peer that speaks the extensions the payload
// goes byte for byte, and the sender beside it. Others get what the original's hub sends: the sender in the payload,
// except in events of the hub's own; and ASCII only, which all dialects of Engine.IO agree on.
func (r *routing) encode(event string, payload []byte, from string, sender *peer, native bool) engineio.Message {
	p := protocol.Packet{Event: event, Payload: payload}
	if native {
		p.From = from
	} else if sender != nil {
		r.inner = protocol.AppendWithID(r.inner[:0], payload, from)
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
