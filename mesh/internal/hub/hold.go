package hub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/limit"
)

// A hub slows down a peer that emits faster than its subscribers read. It does not read from the peer while the peer's
// events wait for room in a subscriber's queue. Half of each queue is for peers that emit little, so that a flood does
// not delay them. A subscriber that reads nothing delays a peer for at most one second, because the hub then
// disconnects the subscriber.
const (
	// shareOfQueue defines the share of a peer: Options.QueueLimit/shareOfQueue bytes a second, 32 KiB by default. A
	// peer that emits less than its share into queues that are half full may also fill the other half.
	shareOfQueue = 32
	// maxDebt bounds how long a peer counts as above its share after it has emitted more, in seconds.
	maxDebt = 10
	// floodPatience is how long a peer above its share waits for a subscriber that reads nothing. maxHold is how long
	// it waits for all subscribers of one batch of events.
	floodPatience = time.Second
	maxHold       = 5 * time.Second
	// burstHold is how long a peer below its share waits for a subscriber whose queue is full. Many such peers may emit
	// at the same moment.
	burstHold = 250 * time.Millisecond
)

// heldEvents holds the events of a batch that wait for room in the queues of subscribers.
type heldEvents map[*peer][]engineio.Message

// send sends messages to a peer. If they come from a peer of this hub, send fills at most half of the receiver's queue,
// and holds the rest. It returns the number of sent messages.
func (r *routing) send(to *peer, messages []engineio.Message, from source) (sent int) {
	if from.peer == nil {
		return to.sendAll(messages)
	}
	if before := r.held[to]; len(before) > 0 { // this keeps the order
		r.held[to] = append(before, messages...)
		return 0
	}
	sent, err := to.sendBelow(to.hub.conf.QueueLimit/2, messages)
	if errors.Is(err, engineio.ErrQueueFull) {
		if r.held == nil {
			r.held = make(heldEvents)
		}
		r.held[to] = slices.Clone(messages[sent:])
	}
	return sent
}

// sendBelow queues messages for a peer as long as they fit into limit bytes of its queue. It returns the number of
// queued messages.
func (p *peer) sendBelow(limit int, messages []engineio.Message) (sent int, err error) {
	if err = p.sock.TryWriteBelow(limit, messages...); err == nil {
		return len(messages), nil
	}
	if !errors.Is(err, engineio.ErrQueueFull) || len(messages) == 1 {
		return 0, err
	}
	for i := range messages { // there may be room for some of them
		if err = p.sock.TryWriteBelow(limit, messages[i]); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// sendHeld sends the held events of a batch of size bytes. The hub does not read from p meanwhile.
func (p *peer) sendHeld(waiting heldEvents, size int) {
	if len(waiting) == 0 {
		return
	}
	h := p.hub
	if p.flood == nil {
		p.flood = new(limit.Bucket)
	}
	share := max(1, h.conf.QueueLimit/shareOfQueue)
	bound, hold := h.conf.QueueLimit/2, maxHold
	if p.flood.Borrow(size, share, share) == 0 {
		bound, hold = h.conf.QueueLimit, burstHold
	}
	p.flood.Spent = min(p.flood.Spent, maxDebt*float64(share)) // this limits how long a past flood counts
	end := time.Now().Add(hold)
	waited, bytes, late := false, 0, 0
	for to := range waiting {
		to.sock.Stalled() // the first look at the kernel's queue; the next look shows whether the queue shrinks
	}
	for to, messages := range waiting {
		sent := 0
		for sent < len(messages) && !p.superseded.Load() && p.sendTo(to, messages[sent], bound, end, &waited) {
			bytes += len(messages[sent].Data)
			sent++
		}
		h.conf.Counters.Sent.Add(uint64(sent))
		switch left := len(messages) - sent; {
		case p.superseded.Load():
			late = max(late, left)
		case to.slow.Load():
			h.conf.Counters.Overflowed.Add(uint64(left))
		}
	}
	h.conf.Counters.BytesOut.Add(uint64(bytes))
	h.conf.Counters.Late.Add(uint64(late))
	if !waited {
		return
	}
	h.conf.Counters.Pauses.Add(1)
	if times := h.rejectLog.Allow(logPause); times > 0 {
		p.log().Info("mesh: a peer emits faster than others read: the hub reads from it more slowly", "times", times)
	}
}

// logPause groups the log lines about peers that the hub reads from more slowly.
const logPause = "pause"

// sendTo queues a held message of p for the receiver to. It waits until the message fits into limit bytes of the
// receiver's queue, but not longer than end. At end it tries once more with the whole queue. It disconnects the
// receiver if that reads nothing, or if its queue is full at the end. It returns false if the message was not queued.
func (p *peer) sendTo(to *peer, m engineio.Message, limit int, end time.Time, waited *bool) bool {
	err := p.tryHeld(to, m, limit)
	if !errors.Is(err, engineio.ErrQueueFull) {
		return err == nil
	}
	*waited = true
	for errors.Is(err, engineio.ErrQueueFull) {
		if !time.Now().Before(end) {
			if err = p.tryHeld(to, m, p.hub.conf.QueueLimit); errors.Is(err, engineio.ErrQueueFull) {
				to.overflow()
			}
			break
		}
		patience := floodPatience - to.sock.Stalled()
		if patience <= 0 {
			to.closeSlow("mesh: peer closed: it has read nothing for a second while its queue held up other peers")
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), min(patience, time.Until(end)))
		_ = to.sock.WaitBelow(ctx, max(0, limit-len(m.Data)-messageOverhead)) // tryHeld returns the error
		cancel()
		err = p.tryHeld(to, m, limit)
	}
	return err == nil
}

// messageOverhead is an upper bound of the cost of a queued message beyond its data, in bytes.
const messageOverhead = 256

// tryHeld queues a message of p, unless p is superseded: see route.
func (p *peer) tryHeld(to *peer, m engineio.Message, limit int) error {
	r := p.hub.routings.Get().(*routing)
	defer p.hub.routings.Put(r)
	r.inflight.RLock()
	defer r.inflight.RUnlock()
	if p.superseded.Load() {
		return fault.ErrSuperseded
	}
	return to.sock.TryWriteBelow(limit, m)
}
