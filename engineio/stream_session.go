package engineio

import (
	"context"
	"errors"
	"io"

	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// streamSession is a Socket as its stream sees it. It implements wire.Session.
type streamSession Socket

// setStream makes c the session's transport. The caller holds s.mu, or no other goroutine has s yet.
func (s *Socket) setStream(c *wire.Stream) {
	c.Attach((*streamSession)(s), s.dialect == oldestDialect)
	s.stream, s.probe, s.phase = c, nil, phaseStream
}

// BeforeBlock implements wire.Session.
func (ss *streamSession) BeforeBlock() { (*Socket)(ss).flushBeforeBlock() }

// Pong implements wire.Session.
func (ss *streamSession) Pong(body []byte) {
	s := (*Socket)(ss)
	s.mu.Lock()
	e := s.pushControl(wire.PongFrame(body))
	s.mu.Unlock()
	if e != nil {
		s.finish(e, nil)
	}
}

// Progress implements wire.Session.
func (ss *streamSession) Progress() {
	s := (*Socket)(ss)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress()
}

// Spend implements wire.Session. It subtracts n bytes, which an unadmitted peer is about to send, from its allowance.
// If the allowance is too small, the server stops reading.
func (ss *streamSession) Spend(n int) error {
	switch {
	case ss.admission == admitted:
		return nil
	case n > int(ss.allowance):
		ss.allowance = 0
		return ErrUnadmitted
	}
	ss.allowance -= uint16(n) //nolint:gosec // at most allowance
	return nil
}

// ReceiveLimit implements wire.Session.
func (ss *streamSession) ReceiveLimit() (context.Context, *receivelimit.Limit) {
	s := (*Socket)(ss)
	if s.admission == admitted {
		return s.Context(), s.conf.receiveLimit
	}
	return s.Context(), s.conf.unadmittedLimit
}

// closeReason translates the error of a stream to the error of its session.
func closeReason(err error) *CloseError {
	if fe, ok := errors.AsType[*wire.Error](err); ok {
		reason := ReasonTransportError
		switch fe.Fault {
		case wire.Malformed:
			reason = ReasonParseError
		case wire.Closed:
			reason = ReasonTransportClose
		}
		return &CloseError{Reason: reason, Remote: true, Err: fe.Err}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &CloseError{Reason: ReasonTransportClose, Remote: true, Err: err}
	}
	return &CloseError{Reason: ReasonTransportError, Remote: true, Err: err}
}
