package engineio

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Write sends m. It waits while the socket's queue is full; a nil error means that m was queued or sent, not that it
// has arrived. Text must be valid UTF-8 (ErrInvalidText). If ctx ends while Write waits, m was not sent.
//
// A reply of up to 16 KiB that is written between two calls of Read leaves on a WebSocket at once if nothing waits
// before it and the kernel takes it; everything else is queued and leaves on another goroutine, together with what else
// is queued by then.
func (s *Socket) Write(ctx context.Context, m Message) error {
	if err := check(m); err != nil {
		return err
	}
	if s.client != nil {
		s.wake()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inline && !s.writing && !s.pending() && len(m.Data) <= freeAllowance {
		return s.writeNow(m)
	}
	if err := s.waitFor(ctx, func() bool { return s.state != stateOpen || s.fits(m.size()) }); err != nil {
		return err
	}
	return s.push(m)
}

// TryWrite sends messages, in their order, for those who must not wait: it returns ErrQueueFull if there is no room for all
// of them, and then sends none; several that are larger than QueueLimit together never fit. It never blocks on the peer. Several
// messages in one call cost little more than one.
func (s *Socket) TryWrite(messages ...Message) error {
	size := 0
	for i := range messages {
		if err := check(messages[i]); err != nil {
			return err
		}
		size += messages[i].size()
	}
	if s.client != nil {
		s.wake()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen && (!s.fits(size) || len(messages) > 1 && s.queued+size > s.conf.queueLimit) {
		return ErrQueueFull
	}
	return s.push(messages...)
}

// Flush waits until all that was queued before the call was handed to the operating system or, by polling, to the
// HTTP response or request that carries it.
func (s *Socket) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.enqueued
	return s.waitFor(ctx, func() bool { return s.flushed >= until })
}

func check(m Message) error {
	if m.shared != nil && m.shared.broken || m.shared == nil && !m.Binary && !utf8.Valid(m.Data) {
		return ErrInvalidText
	}
	return nil
}

// fits says whether n more bytes may be queued. The caller holds s.mu.
func (s *Socket) fits(n int) bool { return s.queued == 0 || s.queued+n <= s.conf.queueLimit }

// push queues messages and sees to it that they leave: all of them, or none. The caller holds s.mu and has asked fits.
func (s *Socket) push(messages ...Message) error {
	if s.state != stateOpen {
		return s.closedError()
	}
	size := 0
	for i := range messages {
		m := &messages[i]
		switch {
		case m.Binary:
			if len(m.Data) == 0 && (s.stream.carriesLengths() || s.probe.carriesLengths()) {
				return ErrEmptyBinary
			}
		case s.rev == Revision4 && s.stream == nil && bytes.IndexByte(m.Data, separator) >= 0:
			return ErrSeparator
		}
		size += m.size()
	}
	if !s.reserve(size) {
		return ErrQueueFull
	}
	for i := range messages {
		s.enqueue(messages[i].outgoing())
	}
	s.kick()
	return nil
}

// separator stands between the packets of a polling payload in revision 4, which has no way to escape it.
const separator = 0x1e

// pushControl queues a packet of the protocol's own. The queue's limit does not hold it up, but a peer that makes more
// of them than it takes away is ended. The caller holds s.mu.
func (s *Socket) pushControl(o *outgoing) *CloseError {
	if s.state == stateClosed {
		return nil
	}
	if s.queued > s.conf.queueLimit+controlAllowance || !s.reserve(o.size()) {
		return &CloseError{Reason: ReasonTransportError, Remote: true, Err: ErrQueueFull}
	}
	s.enqueue(o)
	s.kick()
	return nil
}

const (
	// controlAllowance is what heartbeats may take beyond the queue's limit, in bytes.
	controlAllowance = 16 << 10
	// freeAllowance is what a queue holds without asking the budget, and budgetStep by what it asks, in bytes.
	freeAllowance = 16 << 10
	budgetStep    = 16 << 10
)

// reserve asks the budget for what the queue needs to hold n more bytes. The caller holds s.mu.
func (s *Socket) reserve(n int) bool {
	need := s.queued + n - freeAllowance
	if need <= s.reserved {
		return true
	}
	step := max(need-s.reserved, budgetStep)
	if !s.conf.budget.take(step) {
		return false
	}
	s.reserved += step
	return true
}

// enqueue appends to the queue. The caller holds s.mu and has reserved the room.
func (s *Socket) enqueue(o *outgoing) {
	if s.queue == nil {
		s.queue = (*queues.Get().(*[]*outgoing))[:0]
	}
	s.queue = append(s.queue, o)
	s.queued += o.size()
	s.enqueued++
}

// queues holds the slices that queues are made of, so that an idle socket has none.
var queues = sync.Pool{New: func() any { q := make([]*outgoing, 0, 16); return &q }}

// maxPooledQueue bounds the queues that are kept for reuse, in packets.
const maxPooledQueue = 4096

func recycle(q []*outgoing) {
	if clear(q); cap(q) > 0 && cap(q) <= maxPooledQueue {
		queues.Put(&q)
	}
}

// kick sees to it that what is queued leaves. The caller holds s.mu.
func (s *Socket) kick() {
	switch {
	case s.writing || s.scheduled || s.state == stateClosed:
	case s.poll != nil:
		s.poll.release()
	case s.canSend():
		s.scheduled = true
		s.conf.wg.Go(s.flusher)
	}
}

// flusher is the goroutine that writes what is queued and ends.
func (s *Socket) flusher() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scheduled = false
	s.drain(true)
}

// flushBeforeBlock runs on the reader's goroutine when it has dealt with all that one read had brought: the answers
// leave together. What the kernel does not take at once is left to a flusher.
func (s *Socket) flushBeforeBlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 && s.stream != nil && s.stream.raw != nil {
		s.drain(false)
	}
}

// drain writes until nothing is queued, and says goodbye if the session is closing. Without wait it writes what leaves at
// once. The caller holds s.mu, which is released while writing.
func (s *Socket) drain(wait bool) {
	if s.writing {
		return // whoever writes will see what is queued
	}
	s.writing = true
	for s.pending() && s.canSend() && (wait || s.stream.rest == nil) {
		out, conn := s.queue, s.stream
		s.queue = nil
		hadRest := conn != nil && conn.rest != nil
		s.mu.Unlock()
		var n int
		var err error
		if conn != nil {
			n, err = conn.writeAll(out, wait)
		} else {
			n, err = s.client.post(out)
		}
		if err != nil {
			s.sendFailed(err)
		}
		s.mu.Lock()
		if hadRest {
			s.flushed++ // the packet whose end it was
		}
		s.sent(out, n)
	}
	if s.state == stateClosing && !s.pending() && s.canSend() && !s.goodbye && wait {
		s.sayGoodbye()
	}
	s.writing = false
	if !wait && (s.pending() || s.state == stateClosing) {
		s.kick()
	}
	s.cond.Broadcast()
}

// pending says whether something waits to be written. The caller holds s.mu and owns s.writing.
func (s *Socket) pending() bool {
	return len(s.queue) > 0 || s.stream != nil && s.stream.rest != nil
}

// canSend says whether packets can be sent now on this side's own initiative: a polling server waits for a poll, and a
// client pauses polling for an upgrade. The caller holds s.mu.
func (s *Socket) canSend() bool {
	return s.state != stateClosed && (s.stream != nil || s.client != nil && !s.upgrading)
}

// sent accounts for the first n packets of out, which were written, and puts the others back. The caller holds s.mu and
// owns s.writing.
func (s *Socket) sent(out []*outgoing, n int) {
	if s.state == stateClosed {
		return
	}
	for _, o := range out[:n] {
		s.queued -= o.size()
	}
	s.flushed += uint64(n)
	if s.stream != nil && s.stream.rest != nil {
		s.flushed-- // the last one has not left as a whole
	}
	if n < len(out) {
		s.queue = append(slices.Clone(out[n:]), s.queue...)
	}
	recycle(out)
	if !s.pending() && s.reserved > 0 {
		s.conf.budget.give(s.reserved)
		s.reserved = 0
	}
	s.cond.Broadcast()
}

// writeNow writes m without queueing it; what the kernel does not take at once is left to a flusher. The caller holds
// s.mu, which is released while writing.
func (s *Socket) writeNow(m Message) error {
	conn := s.stream
	s.writing = true
	s.enqueued++
	s.mu.Unlock()
	b := newBatch()
	if m.shared != nil {
		conn.appendOutgoing(b, m.shared)
	} else {
		conn.appendPacket(b, packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data}, m.NoCompression)
	}
	err := conn.trySend(b.Bytes())
	b.release()
	if err != nil {
		s.sendFailed(err)
	}
	s.mu.Lock()
	s.writing = false
	s.cond.Broadcast()
	if conn.rest == nil {
		s.flushed++
	}
	if s.pending() || s.state == stateClosing {
		s.kick()
	}
	if err != nil {
		return s.closedError()
	}
	return nil
}

// sendFailed ends the session after a write failed.
func (s *Socket) sendFailed(err error) {
	s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: err}, nil)
}

// pongFrame answers a ping of the WebSocket protocol. It runs on the reader's goroutine.
func (s *Socket) pongFrame(body []byte) {
	s.mu.Lock()
	e := s.pushControl(&outgoing{control: ws.OpPong, frame: body})
	s.mu.Unlock()
	if e != nil {
		s.finish(e, nil)
	}
}
