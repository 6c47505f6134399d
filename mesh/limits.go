package mesh

import (
	"context"
	"sync"
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// Rate bounds what a peer may send to a hub. Events beyond it are dropped, and counted in Stats.RateLimited; whatever
// else is beyond it, tables and questions and what is no packet, waits its turn, and what the peer sent behind it waits
// too.
type Rate struct {
	Events int // events a second. Default: no bound
	Bytes  int // bytes of packets a second. Default: no bound
	// EventBurst and ByteBurst are what may come at once, after a pause. Default: what may come in a second, and in
	// bytes at least Options.MaxMessage. A message that is larger than ByteBurst never passes.
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

// pace is what one peer has used of its Rate. It belongs to the goroutine that reads the peer's session.
type pace struct {
	rate          Rate
	events, bytes bucket
}

// newPace returns nil if nothing is bounded.
func newPace(r Rate) *pace {
	if r.Events <= 0 && r.Bytes <= 0 {
		return nil
	}
	return &pace{rate: r}
}

// event tells whether an event is within the rate.
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

// other returns how long something else has to wait.
func (p *pace) other(size int) time.Duration {
	if p.rate.Bytes <= 0 {
		return 0
	}
	return p.bytes.borrow(size, p.rate.Bytes, p.rate.ByteBurst)
}

// bucket bounds a rate: it holds tokens, up to a burst of them, and gets more of them each second. The zero value is
// full.
type bucket struct {
	spent float64 // tokens that are missing
	at    time.Time
}

// has tells whether so many tokens are there. Without a rate there are always enough.
func (b *bucket) has(n, rate, burst int) bool {
	return rate <= 0 || b.spent+float64(n) <= float64(burst)
}

// borrow takes tokens, also those that are not there yet, and returns how long it is until they would be.
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

// pause waits. It returns false if ctx ended first.
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

// refusalPause is the time between two lines of the log about refusals by one rule, and between two notes to one peer.
const refusalPause = time.Second

// tally counts what is not in the log yet. A flood of what is refused must not become a flood of lines.
type tally struct {
	mu    sync.Mutex
	count int
	next  time.Time // when the next line may be written
}

// note counts one more. It returns how many there were since the last line, 0 if it is too early for the next.
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

// refusals are what was refused and is not in the log yet, by rule.
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

// refuse counts and logs what a peer sent and the hub does not take.
func (p *peer) refuse(rule Rule, attrs ...any) {
	c := &p.hub.node.counters
	switch rule {
	case RuleMalformed:
		c.malformed.Add(1)
	case RuleMuted:
		c.unauthorized.Add(1)
	case RuleReserved:
		c.reserved.Add(1)
	case RuleBadTable:
		c.badTables.Add(1)
	case RuleMayNotEmit:
		c.notPermitted.Add(1)
	case RuleRate:
		c.rateLimited.Add(1)
	case RuleWatchers:
		c.rejectedWatchers.Add(1)
	case RuleTooEarly:
		c.tooEarly.Add(1)
	}
	if count := p.hub.refusals.note(rule); count > 0 {
		p.log().Warn("mesh: refused what a peer sent", append([]any{"rule", string(rule), "times", count}, attrs...)...)
	}
}

// refuseEvent refuses an event, and lets the peer know if it speaks the extensions: at once, but not at each event.
func (p *peer) refuseEvent(rule Rule, event string) {
	p.refuse(rule, "event", event)
	if !p.negotiated {
		return
	}
	p.untold++
	if now := time.Now(); now.After(p.told.Add(refusalPause)) {
		p.told = now
		p.reply(protocol.NameRefused, refused{Rule: rule, Event: event, Count: p.untold})
		p.untold = 0
	}
}

// rejectTable rejects an event table, and lets the peer know if it speaks the extensions: each time, since a peer has to
// send another table before the next one is rejected.
func (p *peer) rejectTable(why error) {
	p.refuse(RuleBadTable, "error", why)
	if p.negotiated {
		p.reply(protocol.NameRefused, refused{Rule: RuleBadTable, Count: 1, Message: why.Error()})
	}
}

// refused is the payload of $mesh.refused: the last event that was refused, and how many were since the last note. The
// note about an event table has a message instead of an event.
type refused struct {
	Rule    Rule   `json:"rule"`
	Event   string `json:"event,omitempty"`
	Count   int    `json:"count"`
	Message string `json:"message,omitempty"`
}
