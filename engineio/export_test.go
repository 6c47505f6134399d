package engineio

import (
	"slices"
	"time"
)

// This file shows the tests the few internals that a peer cannot see.

// Sizes in bytes, counts and times of the implementation.
const (
	CloseLimit       = closeLimit
	CloseTimeout     = closeTimeout
	ControlAllowance = controlAllowance
	EarlyPart        = earlyPart
	FreeAllowance    = freeAllowance
	LastPollTimeout  = lastPollTimeout
	MaxAllowance     = maxAllowance
	MaxSavedRequest  = maxSavedRequest
	MaxSilence       = maxSilence
	NoopInterval     = noopInterval
	PollCloseTimeout = pollCloseTimeout
	PromptNoops      = promptNoops
	PythonMaxPackets = pythonMaxPackets
	RejectedWait     = rejectedWait
)

// Errors and functions whose tests call them directly.
var (
	ErrCrowded    = errCrowded
	ErrRepeated   = errRepeated
	FormPayload   = formPayload
	NewSID        = newSID
	Once          = once
	ProxyVariable = proxyVariable
	ValidID       = validID
)

// Compress compresses the body of an HTTP response with the coding of the given name.
func Compress(name string, body []byte) []byte {
	i := slices.IndexFunc(httpCodings[:], func(c *httpCoding) bool { return c.name == name })
	return httpCodings[i].compress(body)
}

// Works reports whether the hint recommends a WebSocket.
func (h *TransportHint) Works() bool { return h.webSocketWorks() }

// Record makes the hint recommend a WebSocket or not.
func (h *TransportHint) Record(works bool) { h.record(works) }

// CountedAddrs returns the number of addresses whose sessions count towards Admission.SessionsPerAddr.
func (srv *Server) CountedAddrs() int { return len(srv.waiting) }

// SendBudgetUsed returns the bytes of large queues that the server counts.
func (srv *Server) SendBudgetUsed() int { return int(srv.conf.sendBudget.used.Load()) }

// ReceiveLimitUsed returns the bytes of large unfinished messages that the server counts.
func (srv *Server) ReceiveLimitUsed() int { return srv.conf.receiveLimit.InUse() }

// UnadmittedLimitUsed is ReceiveLimitUsed for unadmitted peers.
func (srv *Server) UnadmittedLimitUsed() int { return srv.conf.unadmittedLimit.InUse() }

// HoldsPoll reports whether a poll waits at the server. On loopback no other event shows it.
func (s *Socket) HoldsPoll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil
}

// HoldsPost reports whether the server is receiving the body of a POST.
func (s *Socket) HoldsPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body != nil
}

// ElapseWallClock lets time pass for the heartbeat as a sleeping machine does: on the wall clock only. It moves the
// deadline, because a test cannot move the clock.
func (s *Socket) ElapseWallClock(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = s.deadline.Round(0).Add(-d)
}
