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
	// causeResetTime is the time that a connection must last before the log shows the same cause again.
	causeResetTime = 10 * time.Second
	// denialResetTime is the time that a denied subject must be used without another error before it counts as
	// permitted.
	denialResetTime = time.Second
)

// causes are the reasons why there is no connection, by their text. The log shows each reason once, until a connection
// lasts.
type causes struct {
	shown   map[string]bool
	pending []error
	up      time.Time // the start of the connection; zero without a connection
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
	c.pending = append(c.pending, err)
}

// unshown returns the causes that the log has not shown.
func (c *causes) unshown(now time.Time, connected bool) (news []error) {
	switch {
	case !connected:
		c.up = time.Time{}
	case c.up.IsZero():
		c.up = now
	case now.Sub(c.up) >= causeResetTime:
		c.shown = nil
	}
	news, c.pending = c.pending, nil
	return news
}

// addCause stores a reason why there is no connection.
func (c *connState) addCause(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.causes.add(err)
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

// addDenial stores a permission error of NATS.
func (c *connState) addDenial(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	subject, sub := "", false
	if found := deniedSubject.FindStringSubmatch(err.Error()); found != nil {
		subject, sub = found[2], found[1][0]|0x20 == 's'
	}
	d := c.denials[subject]
	if d == nil {
		if len(c.denials) >= maxCauses {
			return
		}
		if c.denials == nil {
			c.denials = make(denials)
		}
		d = &denial{}
		c.denials[subject] = d
	}
	d.err, d.sub, d.at = fmt.Errorf("natsbackplane: %w", err), sub, time.Now()
}

// oldest returns the oldest of the denials.
func (d denials) oldest() error {
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

// unshown returns the denials that the log has not shown.
func (d denials) unshown() (news []error) {
	for _, one := range d {
		if !one.shown {
			one.shown = true
			news = append(news, one.err)
		}
	}
	return news
}

// noteReply records a response of NATS. It returns the denied subjects to subscribe to again, because the server does
// not restore a subscription when it permits the subject. It removes subjects that are permitted by now.
func (c *connState) noteReply() (retry []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.lastReply = now
	for subject, d := range c.denials {
		switch {
		case subject == "": // too many subscriptions
		case !d.sub: // hubs publish each second
			if now.Sub(d.at) >= 3*denialResetTime {
				delete(c.denials, subject)
			}
		case d.tried.After(d.at) && now.Sub(d.tried) >= denialResetTime:
			delete(c.denials, subject)
		case !d.tried.After(d.at):
			d.tried = now
			retry = append(retry, subject)
		}
	}
	return retry
}

// noteMaxPayload stores the largest message that NATS accepts, in bytes. It logs a limit below the hub's largest
// message.
func (c *connState) noteMaxPayload(most int64) {
	before := c.maxPayload.Swap(most)
	need := int64(headerSize + c.backplane.opts.MaxMessage)
	if most > 0 && most < need && most != before {
		c.backplane.opts.Logger.Warn("mesh: NATS accepts smaller messages than this hub: larger events do not reach other hubs; raise max_payload of NATS",
			"max_payload", most, "needed", need)
	}
}

// isPermissionError reports whether an error of the connection is about the hub's subjects.
func (m *member) isPermissionError(err error) bool {
	return errors.Is(err, nats.ErrMaxSubscriptionsExceeded) || errors.Is(err, nats.ErrPermissionViolation) && m.subjects.mentionedIn(err.Error())
}
