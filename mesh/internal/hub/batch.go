package hub

import (
	"sync"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// batch holds the consecutive events of a peer that the hub has not routed yet, and the memory of their packets. It
// belongs to the goroutine that reads the peer's session.
//
// The packet that the goroutine processes may lie in the memory of the batch. So flush, which routes the events, keeps
// that memory; the packet stays valid until ServeSocket has finished it and calls next.
type batch struct {
	events []wire.Event
	size   int    // of the events, in bytes
	read   int    // bytes of the packets that are not counted yet
	buf    []byte // the memory of the packets after the first one, which the events' payloads share

	began time.Time // when the first event of a measured batch was read; otherwise zero
	uses  int       // the number of batches that used this memory
}

const (
	// maxSpareEvents limits the memory for events that the hub keeps for the next batch.
	maxSpareEvents = 1024
	// The hub measures one batch in measureEvery for Stats.FanOut, beginning with the first. Reading the clock twice
	// costs a tenth as much as routing one event.
	measureEvery = 64
)

var batches = sync.Pool{New: func() any { return new(batch) }}

// memory returns memory for the next packet. Otherwise each packet would be a heap allocation, and garbage collections,
// each of which visits all peers, would be more frequent. Before the first event of a batch it returns nil, because the
// hub may wait for that packet for any time.
func (p *peer) memory() []byte {
	b := p.batch
	if b == nil {
		return nil
	}
	if b.buf == nil {
		b.buf = make([]byte, 0, wire.MaxBatch)
	}
	return b.buf[len(b.buf):]
}

// collect adds an event to the batch.
func (p *peer) collect(e wire.Event) {
	if p.batch == nil {
		p.batch = batches.Get().(*batch)
	}
	b := p.batch
	if len(b.events) == 0 {
		if b.uses%measureEvery == 0 {
			b.began = time.Now()
		}
		b.uses++
	}
	b.events = append(b.events, e)
	b.size += wire.Size(e.Name, e.Payload)
}

// flush routes the events of the batch. It does nothing without a batch.
func (p *peer) flush() {
	b := p.batch
	if b == nil || len(b.events) == 0 {
		return
	}
	// Relay first, so that no peer gets a listener's reply to an event before the event.
	if p.relay(b.events, b.size, source{peer: p}) {
		if !b.began.IsZero() {
			p.hub.conf.Counters.FanOut.Add(time.Since(b.began))
		}
		p.hub.conf.Local.Deliver(b.events, &p.superseded)
		p.hub.conf.Counters.Received.Add(uint64(len(b.events))) // after the delivery, so that Stats never runs ahead
	}
	clear(b.events)
	b.events, b.size, b.began = b.events[:0], 0, time.Time{}
}

// next ends the processing of a packet. If no packet follows at once, or if the batch is full or was flushed by this
// packet, it routes the batch and releases its memory, which includes the packet.
func (p *peer) next(packet []byte, more bool) {
	b := p.batch
	if b == nil {
		p.hub.conf.Counters.BytesIn.Add(uint64(len(packet)))
		return
	}
	b.read += len(packet)
	if more && len(b.events) > 0 && b.size < wire.MaxBatch && b.read < wire.MaxBatch {
		if len(packet) <= cap(b.buf)-len(b.buf) {
			// ReadInto may have stored the packet there. Otherwise, as for the first packet of a batch, this room stays
			// unused.
			b.buf = b.buf[:len(b.buf)+len(packet)]
		}
		return
	}
	p.endBatch()
}

// endBatch routes the batch and releases its memory.
func (p *peer) endBatch() {
	b := p.batch
	if b == nil {
		return
	}
	p.flush()
	p.batch = nil
	p.hub.conf.Counters.BytesIn.Add(uint64(b.read))
	b.read, b.buf = 0, b.buf[:0]
	if cap(b.events) <= maxSpareEvents {
		batches.Put(b)
	}
}
