package hub

import (
	"time"

	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Rate limits the messages of a peer. Package mesh documents the fields.
type Rate struct{ Events, Bytes, EventBurst, ByteBurst int }

func (r Rate) withDefaults(maxMessage int) Rate {
	if r.EventBurst == 0 {
		r.EventBurst = r.Events
	}
	if r.ByteBurst == 0 {
		r.ByteBurst = max(r.Bytes, maxMessage)
	}
	return r
}

// peerLimiter is the part of its Rate that a peer has used. It belongs to the goroutine that reads the peer's session.
type peerLimiter struct {
	rate          Rate
	events, bytes limit.Bucket
}

// newPeerLimiter returns nil if r has no limit.
func newPeerLimiter(r Rate) *peerLimiter {
	if r.Events <= 0 && r.Bytes <= 0 {
		return nil
	}
	return &peerLimiter{rate: r}
}

// allowEvent counts an event of size bytes, and reports whether it is within the rate.
func (p *peerLimiter) allowEvent(size int) bool {
	r, now := &p.rate, time.Now()
	p.events.Fill(now, r.Events)
	p.bytes.Fill(now, r.Bytes)
	if !p.events.Has(1, r.Events, r.EventBurst) || !p.bytes.Has(size, r.Bytes, r.ByteBurst) {
		return false
	}
	p.events.Spent++
	p.bytes.Spent += float64(size)
	return true
}

// reserve counts a message that is not an event, and returns the time that it must wait.
func (p *peerLimiter) reserve(size int) time.Duration {
	if p.rate.Bytes <= 0 {
		return 0
	}
	return p.bytes.Borrow(size, p.rate.Bytes, p.rate.ByteBurst)
}

// reject counts and logs the rejection of a peer's message.
func (p *peer) reject(rule protocol.Rule, attrs ...any) {
	c := p.hub.conf.Counters
	switch rule {
	case wire.RuleMalformed:
		c.Malformed.Add(1)
	case protocol.RuleMuted:
		c.Unauthorized.Add(1)
	case protocol.RuleReserved:
		c.Reserved.Add(1)
	case protocol.RuleBadTable:
		c.BadTables.Add(1)
	case protocol.RuleMayNotEmit:
		c.NotPermitted.Add(1)
	case wire.RuleRate:
		c.RateLimited.Add(1)
	case wire.RuleWatchers:
		c.RejectedWatchers.Add(1)
	case wire.RuleTooEarly:
		c.TooEarly.Add(1)
	}
	if count := p.hub.rejectLog.Allow(string(rule)); count > 0 {
		p.log().Warn("mesh: rejected packets of a peer", append([]any{"rule", string(rule), "times", count}, attrs...)...)
	}
}

// rejectEvent rejects an event, and reports that to a peer that negotiated the extensions: at once for the first event,
// then at most once in limit.LogInterval.
func (p *peer) rejectEvent(rule protocol.Rule, event string) {
	p.reject(rule, "event", event)
	if !p.negotiated {
		return
	}
	p.unreported++
	if now := time.Now(); now.After(p.lastReport.Add(limit.LogInterval)) {
		p.lastReport = now
		p.reply(protocol.NameRefused, wire.Refused{Rule: rule, Event: event, Count: p.unreported})
		p.unreported = 0
	}
}

// rejectTable rejects an event table, and reports each rejection to a peer that negotiated the extensions. It needs no
// limit: a peer must send a different table before the next rejection.
func (p *peer) rejectTable(why error) {
	p.reject(protocol.RuleBadTable, "error", why)
	if p.negotiated {
		p.reply(protocol.NameRefused, wire.Refused{Rule: protocol.RuleBadTable, Count: 1, Message: why.Error()})
	}
}
