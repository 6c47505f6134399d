package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// ledger records the events that each client emitted and received, and judges them.
type ledger struct {
	mu      sync.Mutex
	emitted [][]event // by client; event number n is at n-1
	heard   []*hearing
	stops   []span
	breaks  map[string]int // connections that broke, by reason
	result  result
	samples []string // of violations
}

// event is an event that a client emitted.
type event struct {
	at        time.Time
	hub       int
	confirmed bool // a barrier after the event was passed
}

// hearing records the events that one client received.
type hearing struct {
	last     []int          // by emitter: the highest number
	got      []map[int]bool // by emitter
	sessions []listening
}

// listening is one session, from the moment when the hub knew the client's subscriptions.
type listening struct {
	from  time.Time
	hub   int
	last  []int // by emitter: the highest number in this session
	ended bool
}

// span is a time during which a hub was stopped for so long that the others gave it up.
type span struct{ from, to time.Time }

// result counts events.
type result struct {
	events, deliveries             int
	order, echo, doubled, lost     int
	unconfirmed, betweenHubs, owed int
}

func newLedger(clients int) *ledger {
	l := &ledger{emitted: make([][]event, clients), breaks: make(map[string]int)}
	for range clients {
		h := &hearing{last: make([]int, clients), got: make([]map[int]bool, clients)}
		for i := range h.got {
			h.got[i] = make(map[int]bool)
		}
		l.heard = append(l.heard, h)
	}
	return l
}

func (l *ledger) emits(c, hub int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emitted[c] = append(l.emitted[c], event{at: time.Now(), hub: hub})
	return len(l.emitted[c])
}

func (l *ledger) last(c int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.emitted[c])
}

// confirm records that a hub has handled all events up to number n that were emitted on the present connection. Events
// of earlier connections stay unchanged.
func (l *ledger) confirm(c, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.heard[c]
	since := h.sessions[len(h.sessions)-1].from
	for i := n - 1; i >= 0 && !l.emitted[c][i].confirmed && !l.emitted[c][i].at.Before(since); i-- {
		l.emitted[c][i].confirmed = true
	}
}

func (l *ledger) listens(c, hub int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.heard[c]
	h.sessions = append(h.sessions, listening{from: time.Now(), hub: hub, last: make([]int, len(l.emitted))})
}

func (l *ledger) broke(c int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.heard[c].sessions; len(s) > 0 {
		s[len(s)-1].ended = true
	}
	reason := "?"
	if err != nil {
		reason = err.Error()
		if i := strings.LastIndex(reason, ": "); i >= 0 {
			reason = reason[i+2:]
		}
	}
	l.breaks[reason]++
}

// stopped records that a hub was stopped for a long time.
func (l *ledger) stopped(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stops = append(l.stops, span{from.Add(-time.Second), to.Add(3 * time.Second)})
}

func (l *ledger) hears(c, from, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.heard[c]
	l.result.deliveries++
	switch {
	case from < 0 || from >= len(l.emitted) || n < 1 || n > len(l.emitted[from]):
		l.violation(&l.result.doubled, "client %d got number %d of client %d, which did not emit it", c, n, from)
		return
	case from == c:
		l.violation(&l.result.echo, "client %d got its own number %d", c, n)
		return
	case h.got[from][n]:
		l.violation(&l.result.doubled, "client %d got number %d of client %d again, after %d", c, n, from, h.last[from])
		return
	case n < h.last[from]:
		l.violation(&l.result.order, "client %d got number %d of client %d after %d", c, n, from, h.last[from])
	default:
		h.last[from] = n
	}
	h.got[from][n] = true
	if i := len(h.sessions) - 1; i >= 0 && !h.sessions[i].ended { // otherwise the next session is not introduced yet
		h.sessions[i].last[from] = max(h.sessions[i].last[from], n)
	}
}

const maxSamples = 10

func (l *ledger) violation(count *int, format string, args ...any) {
	*count++
	if len(l.samples) < maxSamples {
		l.samples = append(l.samples, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// judge counts the events that did not arrive. A listener is owed an event that was emitted after the hub knew the
// listener, if a later event of the same emitter arrived on the same session, or if the session lasted to the end of
// the run.
func (l *ledger) judge() result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.result
	for _, all := range l.emitted {
		r.events += len(all)
	}
	for c, h := range l.heard {
		for _, s := range h.sessions {
			for from, all := range l.emitted {
				if from != c {
					last := s.last[from]
					if !s.ended {
						last = len(all)
					}
					l.judgeSession(c, from, s, all[:last])
				}
			}
		}
	}
	return *r
}

func (l *ledger) judgeSession(c, from int, s listening, all []event) {
	r := &l.result
	for i := len(all) - 1; i >= 0 && all[i].at.After(s.from); i-- {
		r.owed++
		switch e := all[i]; {
		case l.heard[c].got[from][i+1]:
		case !e.confirmed:
			r.unconfirmed++
		case e.hub != s.hub && l.hubWasStopped(e.at):
			r.betweenHubs++
		default:
			l.violation(&r.lost, "client %d at hub %d did not get number %d of client %d at hub %d, which was confirmed", c, s.hub, i+1, from, e.hub)
		}
	}
}

func (l *ledger) hubWasStopped(at time.Time) bool {
	for _, s := range l.stops {
		if at.After(s.from) && at.Before(s.to) {
			return true
		}
	}
	return false
}

// received returns the number of events that came.
func (l *ledger) received() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result.deliveries
}
