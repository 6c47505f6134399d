package natsbackplane

import (
	"errors"
	"fmt"
	"regexp"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxCauses limits the causes and the denied subjects that are stored.
	maxCauses = 100
	// causePause is the time that a connection must last before the log shows the same cause again.
	causePause = 10 * time.Second
	// denialPause is the time that a denied subject must be used without another error before it counts as permitted.
	denialPause = time.Second
)

// causes are the reasons why there is no connection, by their text. The log shows each reason once, until a connection
// lasts.
type causes struct {
	shown map[string]bool
	news  []error
	up    time.Time // the start of the connection; zero without a connection
}

// add stores a cause. System errors count by their number, because their text contains ports, which differ in each
// attempt.
func (c *causes) add(err error) {
	key := err.Error()
	if number := syscall.Errno(0); errors.As(err, &number) {
		key = number.Error()
	}
	if c.shown[key] || len(c.shown) >= maxCauses {
		return
	}
	if c.shown == nil {
		c.shown = make(map[string]bool)
	}
	c.shown[key] = true
	c.news = append(c.news, err)
}

// report returns the causes that the log has not shown.
func (c *causes) report(now time.Time, connected bool) (news []error) {
	switch {
	case !connected:
		c.up = time.Time{}
	case c.up.IsZero():
		c.up = now
	case now.Sub(c.up) >= causePause:
		c.shown = nil
	}
	news, c.news = c.news, nil
	return news
}

// blame stores a reason why there is no connection.
func (l *link) blame(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.causes.add(err)
}

// denials are the denied subjects of NATS.
type denials map[string]*denial

type denial struct {
	err   error
	sub   bool
	at    time.Time // of the last error
	tried time.Time // when it was last subscribed to again
	shown bool
}

var deniedSubject = regexp.MustCompile(`(?i)(publish|subscription) to "([^"]+)"`)

// deny stores a permission error of NATS.
func (l *link) deny(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	subject, sub := "", false
	if found := deniedSubject.FindStringSubmatch(err.Error()); found != nil {
		subject, sub = found[2], found[1][0]|0x20 == 's'
	}
	d := l.denials[subject]
	if d == nil {
		if len(l.denials) >= maxCauses {
			return
		}
		if l.denials == nil {
			l.denials = make(denials)
		}
		d = &denial{}
		l.denials[subject] = d
	}
	d.err, d.sub, d.at = fmt.Errorf("natsbackplane: %w", err), sub, time.Now()
}

// err returns the oldest of the denials.
func (d denials) err() error {
	var last *denial
	for _, one := range d {
		if last == nil || one.at.Before(last.at) {
			last = one
		}
	}
	if last == nil {
		return nil
	}
	return last.err
}

// report returns the denials that the log has not shown.
func (d denials) report() (news []error) {
	for _, one := range d {
		if !one.shown {
			one.shown = true
			news = append(news, one.err)
		}
	}
	return news
}

// answer records a response of NATS. It returns the denied subjects to subscribe to again, because the server does not
// restore a subscription when it permits the subject. It removes subjects that are permitted by now.
func (l *link) answer() (again []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.answered = now
	for subject, d := range l.denials {
		switch {
		case subject == "": // too many subscriptions
		case !d.sub: // hubs publish each second
			if now.Sub(d.at) >= 3*denialPause {
				delete(l.denials, subject)
			}
		case d.tried.After(d.at) && now.Sub(d.tried) >= denialPause:
			delete(l.denials, subject)
		case !d.tried.After(d.at):
			d.tried = now
			again = append(again, subject)
		}
	}
	return again
}

// noteMaxPayload stores the largest message that NATS accepts, in bytes. It logs a limit below the hub's largest
// message.
func (l *link) noteMaxPayload(most int64) {
	before := l.maxPayload.Swap(most)
	need := int64(headerSize + l.backplane.opts.MaxMessage)
	if most > 0 && most < need && most != before {
		l.backplane.opts.Logger.Warn("mesh: NATS accepts smaller messages than this hub: larger events do not reach other hubs; raise max_payload of NATS",
			"max_payload", most, "needed", need)
	}
}

// refuses reports whether an error of the connection is about the hub's subjects.
func (m *member) refuses(err error) bool {
	return errors.Is(err, nats.ErrMaxSubscriptionsExceeded) || errors.Is(err, nats.ErrPermissionViolation) && m.subjects.has(err.Error())
}
