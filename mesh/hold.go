package mesh

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

// A hub slows down a peer that emits faster than its listeners read: it does not read from the peer while the peer's events
// wait for room in a listener's queue. Half of each queue is for peers that emit little, so that a flood does not hold them
// up. A listener that takes nothing holds no peer up for longer than a second, because the hub closes it.
const (
	// shareOfQueue says what a peer may emit in a second into queues that are half full before it has to wait, as a part of
	// Options.QueueLimit: 32 KiB by default.
	shareOfQueue = 32
	// maxDebt bounds how long a peer that has emitted more than its share counts as such afterwards, in seconds.
	maxDebt = 10
	// floodPatience is how long a peer that emits more than its share waits for a listener that takes nothing, and maxHold how
	// long for all listeners of one row of events.
	floodPatience = time.Second
	maxHold       = 5 * time.Second
	// burstHold is how long a peer that emits less than its share waits for a listener whose queue is full. Many such peers may
	// emit at the same moment.
	burstHold = 250 * time.Millisecond
	// dearSteps is the number of search steps for one event from which on the hub routes one row of such events at a time.
	dearSteps = 2048
)

// held are the events of a row that wait for room in the queues of listeners.
type held map[*peer][]engineio.Message

// give sends messages to a peer. If the peer's queue has no room and they come from a peer of this hub, they are held.
// It returns how many it sent.
func (r *routing) give(to *peer, messages []engineio.Message, from source) (sent int) {
	if from.peer == nil {
		return to.send(messages)
	}
	if before := r.held[to]; len(before) > 0 { // the order stays
		r.held[to] = append(before, messages...)
		return 0
	}
	sent, err := to.sendBelow(to.hub.node.opts.QueueLimit/2, messages)
	if errors.Is(err, engineio.ErrQueueFull) {
		if r.held == nil {
			r.held = make(held)
		}
		r.held[to] = slices.Clone(messages[sent:])
	}
	return sent
}

// sendBelow queues messages for a peer until its queue has limit bytes. It returns how many it queued.
func (p *peer) sendBelow(limit int, messages []engineio.Message) (sent int, err error) {
	if err = p.sock.TryWriteBelow(limit, messages...); err == nil {
		return len(messages), nil
	}
	if !errors.Is(err, engineio.ErrQueueFull) || len(messages) == 1 {
		return 0, err
	}
	for i := range messages { // there may be room for some
		if err = p.sock.TryWriteBelow(limit, messages[i]); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// sendHeld sends the events of a row of size bytes that are held. The hub does not read from p meanwhile.
func (p *peer) sendHeld(row held, size int) {
	if len(row) == 0 {
		return
	}
	h := p.hub
	if p.share == nil {
		p.share = new(bucket)
	}
	share := max(1, h.node.opts.QueueLimit/shareOfQueue)
	limit, hold := h.node.opts.QueueLimit/2, maxHold
	if p.share.borrow(size, share, share) == 0 {
		limit, hold = h.node.opts.QueueLimit, burstHold
	}
	p.share.spent = min(p.share.spent, maxDebt*float64(share)) // a flood that is over is soon forgotten
	end := time.Now().Add(hold)
	waited, bytes, late := false, 0, 0
	for to := range row {
		to.sock.Stalled() // the first look at the kernel's queue; the next one shows whether that shrinks
	}
	for to, messages := range row {
		sent := 0
		for sent < len(messages) && !p.superseded.Load() && p.sendTo(to, messages[sent], limit, end, &waited) {
			bytes += len(messages[sent].Data)
			sent++
		}
		h.node.counters.sent.Add(uint64(sent))
		switch left := len(messages) - sent; {
		case p.superseded.Load():
			late = max(late, left)
		case to.slow.Load():
			h.node.counters.overflowed.Add(uint64(left))
		}
	}
	h.node.counters.bytesOut.Add(uint64(bytes))
	h.node.counters.late.Add(uint64(late))
	if !waited {
		return
	}
	h.node.counters.pauses.Add(1)
	if times := h.refusals.note(rulePause); times > 0 {
		p.log().Info("mesh: a peer emits faster than others read: the hub reads from it more slowly", "times", times)
	}
}

// rulePause groups the lines of the log about peers that the hub reads from more slowly.
const rulePause Rule = "pause"

// sendTo queues a held message of p for another peer when less than limit bytes wait for that, and waits for it until end at
// most. It closes a peer that takes nothing, and at the end one whose queue is full. It returns false if the message was not
// queued.
func (p *peer) sendTo(to *peer, m engineio.Message, limit int, end time.Time, waited *bool) bool {
	err := p.tryHeld(to, m, limit)
	if !errors.Is(err, engineio.ErrQueueFull) {
		return err == nil
	}
	*waited = true
	for errors.Is(err, engineio.ErrQueueFull) {
		if !time.Now().Before(end) {
			if err = p.tryHeld(to, m, p.hub.node.opts.QueueLimit); errors.Is(err, engineio.ErrQueueFull) {
				to.overflow()
			}
			break
		}
		patience := floodPatience - to.sock.Stalled()
		if patience <= 0 {
			to.close("mesh: peer closed: it has read nothing for a second while its queue held up other peers")
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), min(patience, time.Until(end)))
		_ = to.sock.WaitBelow(ctx, max(0, limit-len(m.Data)-messageOverhead)) // tryHeld has the error
		cancel()
		err = p.tryHeld(to, m, limit)
	}
	return err == nil
}

// messageOverhead is more than a queued message costs beyond its data, in bytes.
const messageOverhead = 256

// tryHeld queues a message of p, unless p is superseded: see route.
func (p *peer) tryHeld(to *peer, m engineio.Message, limit int) error {
	r := p.hub.routings.Get().(*routing)
	defer p.hub.routings.Put(r)
	r.busy.RLock()
	defer r.busy.RUnlock()
	if p.superseded.Load() {
		return ErrSuperseded
	}
	return to.sock.TryWriteBelow(limit, m)
}
