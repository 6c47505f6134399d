package engineio

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Write sends m. It waits while the socket's queue is full. A nil error means that m was queued or sent, not that the
// peer has received it. Text must be valid UTF-8 (ErrInvalidText). If ctx ends while Write waits, m was not sent.
//
// A server writes a reply of up to 16 KiB at once if all of this is true: the handler calls Write between two calls of
// Read, the session is on a WebSocket without TLS, no input and no output is pending, and the kernel accepts the reply.
// All other messages are queued. Another goroutine sends all queued messages together.
func (s *Socket) Write(ctx context.Context, m Message) error {
	if err := check(m); err != nil {
		return err
	}
	if s.client != nil {
		s.checkDeadline()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader == readerReplying && !s.writing && !s.pending() && len(m.Data) <= freeAllowance {
		return s.writeNow(m)
	}
	room := func() bool { return s.state != stateOpen || s.fits(m.size(), s.conf.queueLimit) }
	for {
		if !room() {
			if err := s.waitFor(ctx, room); err != nil {
				return err
			}
		}
		if again, err := s.push(m); !again {
			return err
		}
	}
}

// TryWrite sends messages in the given order and never waits for the peer. It returns ErrQueueFull if the queue has no
// room for all of them, and then sends none of them. Several messages that are larger than QueueLimit together never
// fit. Several messages in one call take the lock once and start at most one writer.
func (s *Socket) TryWrite(messages ...Message) error {
	return s.TryWriteBelow(s.conf.queueLimit, messages...)
}

// TryWriteBelow is like TryWrite with a limit below QueueLimit, in bytes. It leaves the rest of the queue to other
// writers.
func (s *Socket) TryWriteBelow(limit int, messages ...Message) error {
	size := 0
	for i := range messages {
		if err := check(messages[i]); err != nil {
			return err
		}
		size += messages[i].size()
	}
	if s.client != nil {
		s.checkDeadline()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit = min(limit, s.conf.queueLimit)
	for {
		if s.state == stateOpen && (!s.fits(size, limit) || len(messages) > 1 && s.queued+size > limit) {
			return ErrQueueFull
		}
		if again, err := s.push(messages...); !again {
			return err
		}
	}
}

// Flush waits until all messages that were queued before the call have been handed to the operating system or, by
// polling, to the HTTP response or request that carries them.
func (s *Socket) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.enqueued
	return s.waitFor(ctx, func() bool { return int32(s.flushed-until) >= 0 }) // both counters may have wrapped around
}

func check(m Message) error {
	if m.shared != nil && m.shared.Invalid || m.shared == nil && !m.Binary && !utf8.Valid(m.Data) {
		return ErrInvalidText
	}
	return nil
}

// checkSizes returns an error if one of the messages is larger than the server's maxPayload, as far as a client knows
// it, because such a message would end the session. The socket is a client's, and the caller holds s.mu.
func (s *Socket) checkSizes(messages []Message) error {
	for i := range messages {
		m := &messages[i]
		if s.client.maxPayload == 0 || 2*len(m.Data)+16 < s.client.maxPayload {
			continue // every encoding of a message is at most twice its size plus a header
		}
		if n := s.client.lengthOnTheWay(m, s.stream); n > s.client.maxPayload {
			return fmt.Errorf("%w: it takes %d bytes on the way, and this server accepts %d; send it in parts", ErrTooLarge, n, s.client.maxPayload)
		}
	}
	return nil
}

// fits reports whether the queue has room for n more bytes, up to limit bytes. One message of any size fits into an
// empty queue. The caller holds s.mu.
func (s *Socket) fits(n, limit int) bool { return s.queued == 0 || s.queued+n <= limit }

// push queues all messages or none, and makes sure that they are sent. The caller holds s.mu and has called fits. If
// the server's budget was spent, push unlocks s.mu while it makes room in the budget, and the caller must call fits
// again.
func (s *Socket) push(messages ...Message) (again bool, err error) {
	if s.state != stateOpen {
		return false, s.closedError()
	}
	if s.client != nil {
		if err := s.checkSizes(messages); err != nil {
			return false, err
		}
	}
	size := 0
	for i := range messages {
		m := &messages[i]
		switch {
		case m.Binary:
			if len(m.Data) == 0 && (s.stream.IsWebTransport() || s.probe.IsWebTransport()) {
				return false, ErrEmptyBinary
			}
		case s.rev == Revision4 && s.stream == nil && bytes.IndexByte(m.Data, separator) >= 0:
			return false, ErrSeparator
		}
		size += m.size()
	}
	if s.queued+size > s.conf.smallQueue && !s.reserve(size) {
		s.mu.Unlock()
		ok := s.conf.sendBudget.makeRoom(sendBudgetStep + size)
		s.mu.Lock()
		if !ok {
			return false, ErrQueueFull
		}
		return true, nil
	}
	for i := range messages {
		s.enqueue(messages[i].outgoing())
	}
	s.kick()
	return false, nil
}

// separator separates the packets of a polling payload in revision 4, which has no way to escape it.
const separator = 0x1e

// pushControl queues a packet of the protocol itself. It ignores the server's budget, and may exceed the queue's limit
// by controlAllowance. Beyond that it returns a CloseError, because the peer causes these packets and does not read
// them. The caller holds s.mu.
func (s *Socket) pushControl(o *wire.Outgoing) *CloseError {
	if s.state == stateClosed {
		return nil
	}
	if s.queued > s.conf.queueLimit+controlAllowance {
		return &CloseError{Reason: ReasonTransportError, Remote: true, Err: ErrQueueFull}
	}
	s.enqueue(o)
	s.kick()
	return nil
}

// controlAllowance is the room for control packets beyond the queue's limit, in bytes.
const controlAllowance = 16 << 10

// enqueue appends a packet to the queue. The caller holds s.mu and has reserved the room.
func (s *Socket) enqueue(o *wire.Outgoing) {
	if s.queue == nil {
		s.queue = (*queues.Get().(*[]*wire.Outgoing))[:0]
	}
	s.queue = append(s.queue, o)
	s.queued += o.Size()
	s.enqueued++
}

// queues is a pool of slices for queues, so that an idle socket holds none.
var queues = sync.Pool{New: func() any { q := make([]*wire.Outgoing, 0, 16); return &q }}

// maxPooledQueue is the capacity of the largest slice that the pool keeps, in packets.
const maxPooledQueue = 4096

func recycle(q []*wire.Outgoing) {
	if clear(q); cap(q) > 0 && cap(q) <= maxPooledQueue {
		queues.Put(&q)
	}
}

// kick makes sure that the queued packets are sent. The caller holds s.mu.
func (s *Socket) kick() {
	switch {
	case s.writing || s.scheduled || s.state == stateClosed:
	case s.poll != nil:
		s.poll.release()
	case s.canSend():
		s.scheduled = true
		s.conf.wg.Go(s.writer)
	}
}

// writer is the goroutine that writes the queued packets and then ends.
func (s *Socket) writer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scheduled = false
	s.drain(true)
}

// flushBeforeBlock runs on the reader's goroutine when it has handled all input of one read, so that the replies leave
// together. A writer writes the bytes that the kernel does not accept at once.
func (s *Socket) flushBeforeBlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 && s.stream != nil && s.stream.CanWriteNow() {
		s.drain(false)
	}
}

// drain writes until the queue is empty, and sends the close frame or packet if the session is closing. Without wait,
// it writes only the bytes that the kernel accepts at once. The caller holds s.mu, which is released while writing.
func (s *Socket) drain(wait bool) {
	if s.writing {
		return // the goroutine that owns writing will see the queue
	}
	s.writing = true
	for s.pending() && s.canSend() && (wait || s.stream.Unwritten() == 0) {
		s.writeQueue(wait)
	}
	if s.state == stateClosing && !s.pending() && s.canSend() && wait {
		s.sendClose()
	}
	s.writing = false
	if !wait && (s.pending() || s.state == stateClosing) {
		s.kick()
	}
	s.cond.Broadcast()
}

// writeQueue writes the packets that are queued now, batch by batch, so that other goroutines see the queue shrink. It
// puts back the packets that it did not write. The caller holds s.mu, which is released while writing, and owns
// s.writing.
func (s *Socket) writeQueue(wait bool) {
	conn, taken := s.stream, s.queue
	s.queue = nil
	out := taken
	for {
		rest := conn.Unwritten()
		s.holds(out)
		s.mu.Unlock()
		var n int
		var err error
		if conn != nil {
			n, err = conn.WriteSome(out, wait)
		} else {
			n, err = s.client.post(out)
		}
		if err != nil {
			s.sendFailed(err)
		}
		s.mu.Lock()
		s.sent(out[:n], rest)
		out = out[n:]
		if len(out) == 0 || conn == nil || s.state == stateClosed || conn.Unwritten() > 0 {
			break
		}
	}
	if len(out) > 0 && s.state != stateClosed {
		s.queue = append(slices.Clone(out), s.queue...)
	}
	s.holds(nil)
	recycle(taken)
}

// pending reports whether data waits to be written. The caller holds s.mu, and no other goroutine owns s.writing.
func (s *Socket) pending() bool {
	return len(s.queue) > 0 || s.stream.Unwritten() > 0
}

// canSend reports whether this side can send packets now without a request from the peer. A polling server needs a
// poll, and a client sends nothing while it pauses polling for an upgrade. The caller holds s.mu.
func (s *Socket) canSend() bool {
	return s.state != stateClosed && (s.stream != nil || s.client != nil && s.phase == phasePolling)
}

// sent accounts for packets that were written. rest is the number of bytes that were left of a partly written
// packet when this write began. The caller holds s.mu and owns s.writing.
func (s *Socket) sent(out []*wire.Outgoing, rest int) {
	if s.state == stateClosed {
		return
	}
	before := s.queued
	for _, o := range out {
		s.queued -= o.Size()
	}
	left := s.stream.Unwritten()
	s.queued += left - rest
	s.flushed += uint32(len(out))
	if rest > 0 {
		s.flushed++ // the packet whose last bytes were written
	}
	if left > 0 {
		s.flushed-- // the last packet is not completely written
	}
	if s.queued < before {
		s.progress()
	}
	if s.queued <= s.conf.smallQueue {
		s.endBacklog()
	}
	s.cond.Broadcast()
}

// writeNow writes m without queueing it. A writer writes the bytes that the kernel does not accept at once. The caller
// holds s.mu, which is released while writing.
func (s *Socket) writeNow(m Message) error {
	conn := s.stream
	s.writing = true
	s.enqueued++
	s.mu.Unlock()
	var err error
	if m.shared != nil {
		err = conn.WriteOutgoingNow(m.shared)
	} else {
		err = conn.WriteNow(packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data}, m.NoCompression)
	}
	if err != nil {
		s.sendFailed(err)
	}
	s.mu.Lock()
	s.writing = false
	s.cond.Broadcast()
	if conn.Unwritten() == 0 {
		s.flushed++
	} else if s.state != stateClosed {
		s.queued += conn.Unwritten()
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
