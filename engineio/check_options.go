package engineio

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// maxSilence bounds the sum of PingInterval and PingTimeout. Stock clients wait for both with one JavaScript timer, and
// a longer timer ends at once.
const maxSilence = (1<<31 - 1) * time.Millisecond

// Check returns an error if an option is invalid: an unknown revision or transport, a negative limit or time, a
// heartbeat time below 1 ms (the protocol counts in milliseconds), heartbeat times above 24 days together, an
// InitialMessage that a transport cannot carry, an invalid Cookie, or an entry of AllowedOrigins that CheckOrigin
// rejects. NewServer panics with this error, so a program that takes options from its users should call Check first.
func (o *ServerOptions) Check() error {
	if o == nil {
		return nil
	}
	for _, r := range o.Revisions {
		if r != Revision3 && r != Revision4 {
			return fmt.Errorf("engineio: ServerOptions.Revisions: there is no revision %d; use Revision3 or Revision4", r)
		}
	}
	for _, t := range o.Transports {
		if !slices.Contains([]Transport{Polling, WebSocket, WebTransport}, t) {
			return fmt.Errorf("engineio: ServerOptions.Transports: there is no transport %q; use Polling, WebSocket or WebTransport", t)
		}
	}
	if err := notNegative("ServerOptions", []numberOption{
		{"MaxPayload", int64(o.MaxPayload)}, {"QueueLimit", int64(o.QueueLimit)}, {"BufferLimit", o.BufferLimit},
		{"ReceiveLimit", int64(o.ReceiveLimit)}, {"CompressionThreshold", int64(o.CompressionThreshold)},
	}, []timeOption{
		{"PingInterval", o.PingInterval}, {"PingTimeout", o.PingTimeout}, {"UpgradeTimeout", o.UpgradeTimeout}, {"WriteTimeout", o.WriteTimeout},
	}); err != nil {
		return err
	}
	for _, t := range []timeOption{{"PingInterval", o.PingInterval}, {"PingTimeout", o.PingTimeout}} {
		if t.value > 0 && t.value < time.Millisecond {
			return fmt.Errorf("engineio: ServerOptions.%s is %v; the protocol counts in milliseconds, so use 1ms or more, or 0 for the default", t.name, t.value)
		}
		if t.value > maxSilence {
			return fmt.Errorf("engineio: ServerOptions.%s is %v; use less than 24 days, the longest timer of stock clients", t.name, t.value)
		}
	}
	if sum := cmp.Or(o.PingInterval, DefaultPingInterval) + cmp.Or(o.PingTimeout, DefaultPingTimeout); sum > maxSilence {
		return fmt.Errorf("engineio: ServerOptions.PingInterval and PingTimeout are %v together; use less than 24 days, the longest timer of stock clients", sum)
	}
	if o.InitialMessage != nil {
		if err := checkInitial(*o.InitialMessage); err != nil {
			return fmt.Errorf("engineio: ServerOptions.InitialMessage: %w", err)
		}
	}
	if o.Cookie != nil {
		if err := cookieTemplate(*o.Cookie).Valid(); err != nil {
			return fmt.Errorf("engineio: ServerOptions.Cookie: %w", err)
		}
	}
	_, err := parseAllowedOrigins(o.AllowedOrigins)
	return err
}

// check returns an error if an option is invalid.
func (o *DialOptions) check() error {
	return notNegative("DialOptions", []numberOption{{"MaxPayload", int64(o.MaxPayload)}, {"QueueLimit", int64(o.QueueLimit)}},
		[]timeOption{{"UpgradeTimeout", o.UpgradeTimeout}, {"WriteTimeout", o.WriteTimeout}})
}

type numberOption struct {
	name  string
	value int64
}

type timeOption struct {
	name  string
	value time.Duration
}

func notNegative(options string, numbers []numberOption, times []timeOption) error {
	for _, n := range numbers {
		if n.value < 0 {
			return fmt.Errorf("engineio: %s.%s is %d; use a positive number of bytes, or 0 for the default", options, n.name, n.value)
		}
	}
	for _, t := range times {
		if t.value < 0 {
			return fmt.Errorf("engineio: %s.%s is %v; use a positive time, or 0 for the default", options, t.name, t.value)
		}
	}
	return nil
}

// checkInitial returns an error unless each transport can carry m.
func checkInitial(m Message) error {
	m.shared = nil
	switch {
	case check(m) != nil:
		return check(m)
	case !m.Binary && bytes.IndexByte(m.Data, separator) >= 0:
		return ErrSeparator
	case m.Binary && len(m.Data) == 0:
		return ErrEmptyBinary
	}
	return nil
}
