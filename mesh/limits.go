package mesh

import (
	"context"
	"sync"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Rate limits the messages that a peer may send to a hub. The hub drops the events beyond it, and counts them in
// Stats.RateLimited. It delays all other messages beyond it (tables, queries and malformed messages), and with them the
// messages that the peer sent after them.
type Rate struct {
	Events int // events per second. Default: no limit
	Bytes  int // bytes of packets per second. Default: no limit
	// EventBurst and ByteBurst are the events and the bytes that may come at once after a pause. Default: the events
	// and the bytes of one second, and at least Options.MaxMessage bytes. An event whose packet is larger than
	// ByteBurst is always dropped.
	EventBurst, ByteBurst int
}

func (r Rate) withDefaults(maxMessage int) Rate {
	if r.EventBurst == 0 {
		r.EventBurst = r.Events
	}
	if r.ByteBurst == 0 {
		r.ByteBurst = max(r.Bytes, maxMessage)
	}
	return r
}

// pace is the part of its Rate that a peer has used. It belongs to the goroutine that reads the peer's session.
type pace struct {
	rate          Rate
	events, bytes bucket
}

// newPace returns nil if r has no limit.
func newPace(r Rate) *pace {
	if r.Events <= 0 && r.Bytes <= 0 {
		return nil
	}
	return &pace{rate: r}
}

// event counts an event of size bytes, and reports whether it is within the rate.
func (p *pace) event(size int) bool {
	r, now := &p.rate, time.Now()
	p.events.fill(now, r.Events)
	p.bytes.fill(now, r.Bytes)
	if !p.events.has(1, r.Events, r.EventBurst) || !p.bytes.has(size, r.Bytes, r.ByteBurst) {
		return false
	}
	p.events.spent++
	p.bytes.spent += float64(size)
	return true
}

// other counts a message that is not an event, and returns the time that it must wait.
func (p *pace) other(size int) time.Duration {
	if p.rate.Bytes <= 0 {
		return 0
	}
	return p.bytes.borrow(size, p.rate.Bytes, p.rate.ByteBurst)
}

// bucket limits a rate. It holds at most burst tokens, and gets rate tokens per second. The zero value is full.
type bucket struct {
	spent float64 // missing tokens
	at    time.Time
}

// has reports whether the bucket holds n tokens. Without a rate it always does.
func (b *bucket) has(n, rate, burst int) bool {
	return rate <= 0 || b.spent+float64(n) <= float64(burst)
}

// borrow takes n tokens, even if they are missing, and returns the time until the bucket would hold them.
func (b *bucket) borrow(n, rate, burst int) time.Duration {
	b.fill(time.Now(), rate)
	b.spent += float64(n)
	return time.Duration(max(0, b.spent-float64(burst)) / float64(rate) * float64(time.Second))
}

func (b *bucket) fill(now time.Time, rate int) {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*float64(rate))
	}
	b.at = now
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusalPause is the minimum time between two log lines about rejections by one rule, and between two reports of
// rejections to one peer.
const refusalPause = time.Second

// tally counts the cases that are not logged yet. It prevents a log line for each rejection in a flood.
type tally struct {
	mu    sync.Mutex
	count int
	next  time.Time // when the next line may be logged
}

// note counts a case. It returns the number of cases since the last log line, or 0 if it is too early for the next
// line.
func (t *tally) note() (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	now := time.Now()
	if now.Before(t.next) {
		return 0
	}
	count, t.count, t.next = t.count, 0, now.Add(refusalPause)
	return count
}

// refusals counts the rejections that are not logged yet, by rule.
type refusals struct {
	mu    sync.Mutex
	rules map[Rule]*tally
}

func (r *refusals) note(rule Rule) (count int) {
	r.mu.Lock()
	t := r.rules[rule]
	if t == nil {
		if r.rules == nil {
			r.rules = make(map[Rule]*tally)
		}
		t = new(tally)
		r.rules[rule] = t
	}
	r.mu.Unlock()
	return t.note()
}

// refuse counts and logs the rejection of a peer's message.
func (p *peer) refuse(rule Rule, attrs ...any) {
	c := &p.hub.node.counters
	switch rule {
	case wire.RuleMalformed:
		c.malformed.Add(1)
	case protocol.RuleMuted:
		c.unauthorized.Add(1)
	case protocol.RuleReserved:
		c.reserved.Add(1)
	case protocol.RuleBadTable:
		c.badTables.Add(1)
	case protocol.RuleMayNotEmit:
		c.notPermitted.Add(1)
	case wire.RuleRate:
		c.rateLimited.Add(1)
	case wire.RuleWatchers:
		c.rejectedWatchers.Add(1)
	case wire.RuleTooEarly:
		c.tooEarly.Add(1)
	}
	if count := p.hub.refusals.note(rule); count > 0 {
		p.log().Warn("mesh: rejected packets of a peer", append([]any{"rule", string(rule), "times", count}, attrs...)...)
	}
}

// refuseEvent rejects an event, and reports that to a peer that negotiated the extensions: at once for the first event,
// then at most once in refusalPause.
func (p *peer) refuseEvent(rule Rule, event string) {
	p.refuse(rule, "event", event)
	if !p.negotiated {
		return
	}
	p.untold++
	if now := time.Now(); now.After(p.told.Add(refusalPause)) {
		p.told = now
		p.reply(protocol.NameRefused, wire.Refused{Rule: rule, Event: event, Count: p.untold})
		p.untold = 0
	}
}

// rejectTable rejects an event table, and reports each rejection to a peer that negotiated the extensions. It needs no
// limit: a peer must send a different table before the next rejection.
func (p *peer) rejectTable(why error) {
	p.refuse(protocol.RuleBadTable, "error", why)
	if p.negotiated {
		p.reply(protocol.NameRefused, wire.Refused{Rule: protocol.RuleBadTable, Count: 1, Message: why.Error()})
	}
}
