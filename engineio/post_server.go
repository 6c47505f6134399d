package engineio

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

var (
	errPostOverlap = errors.New("engineio: data request overlap from client")
	errPostAborted = errors.New("engineio: data request connection closed prematurely")
	errPostType    = errors.New("engineio: invalid content")
	errPostSize    = errors.New("engineio: payload too large")
	errPostTime    = errors.New("engineio: http request timeout")
)

// servePost receives a payload.
func (s *Socket) servePost(w http.ResponseWriter, r *http.Request) {
	srv := s.conf.server
	unhurried(w) // respond sets a deadline
	s.mu.Lock()
	s.awaitProbe()
	if !s.phase.polls() && s.state != stateClosed {
		s.mu.Unlock()
		srv.rejectMismatch(w, r, Polling, s.Transport())
		return
	}
	if s.posting && s.state != stateClosed {
		s.mu.Unlock()
		s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: errPostOverlap}, nil)
		leaveBody(w, r)
		_ = srv.respond(w, http.StatusBadRequest, nil) // a broken connection ends by itself
		return
	}
	s.posting = true
	if len(s.inbox) > 0 {
		// A deadline that passes during the wait would end an HTTP/2 stream for good. receive sets a deadline for the
		// body.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
	// The reader limits the rate: one payload waits for the reader in the inbox, and the next one waits in the
	// connection.
	for len(s.inbox) > 0 && s.state == stateOpen {
		s.cond.Wait()
	}
	closed := s.state == stateClosed || s.state == stateLeaving
	s.mu.Unlock()
	status := http.StatusBadRequest
	if !closed {
		status = s.takePost(w, r)
	}
	s.mu.Lock()
	s.posting = false  // before the response, because the client's next POST may follow it at once
	s.cond.Broadcast() // an upgrade may wait for the POST
	s.mu.Unlock()
	if closed {
		srv.rejectUnknown(w, r)
		return
	}
	switch {
	case status == http.StatusRequestEntityTooLarge && s.awaitsAdmission():
		srv.respondText(w, status, ErrUnadmitted.Error())
		return
	case status != http.StatusOK:
		_ = srv.respond(w, status, nil) // a broken connection ends by itself
		return
	}
	w.Header().Set("Content-Type", "text/html")
	setPollingHeaders(w, r)
	_ = srv.respond(w, http.StatusOK, []byte("ok")) // a broken connection ends by itself
}

// takePost receives a payload and passes it to the reader. It returns the status of the response.
func (s *Socket) takePost(w http.ResponseWriter, r *http.Request) int {
	packets, status, failure := s.receive(w, r)
	if len(packets) > 0 {
		failure = s.deliver(packets)
	}
	if failure != nil && !s.awaitLastPoll(failure) {
		s.finish(failure, nil)
	}
	return status
}

// lastPollTimeout is how long a session waits for a poll after the client's close packet.
const lastPollTimeout = 250 * time.Millisecond

// awaitLastPoll makes the session wait a moment for a last poll after a close packet, and reports whether it does. A
// client sends the close packet right after a poll, on another connection. The packet may overtake the poll, which
// would then find no session. A client that upgrades has stopped polling.
func (s *Socket) awaitLastPoll(e *CloseError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Reason != ReasonTransportClose || s.poll != nil || s.phase.upgrades() || s.state != stateOpen {
		return false
	}
	s.state, s.closeErr = stateLeaving, e
	s.conf.timers.set(s, lastPollTimeout)
	s.cond.Broadcast()
	return true
}

// receive reads and parses the body of a POST. It returns the packets, the status of the response, and the reason to
// end the session, or nil.
func (s *Socket) receive(w http.ResponseWriter, r *http.Request) ([]packet.Packet, int, *CloseError) {
	isBinary := r.Header.Get("Content-Type") == typeBinary
	rc := http.NewResponseController(w)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		leaveBody(w, r)
		return nil, http.StatusBadRequest, nil
	}
	deadline := time.Now().Add(bodyTimeout)
	s.body = rc                      // for abortBody
	_ = rc.SetReadDeadline(deadline) // some ResponseWriters do not support it
	s.mu.Unlock()

	body, status, failure := s.readPost(w, r, isBinary, deadline)

	s.mu.Lock()
	cut := s.body == nil
	s.body = nil
	_ = rc.SetReadDeadline(time.Time{})
	s.mu.Unlock()
	if cut {
		giveUpConnection(w, r)
	}
	if status != http.StatusOK || failure != nil { // the session may have ended while the body waited for memory
		leaveBody(w, r)
	}
	if status != http.StatusOK || body == nil {
		return nil, status, failure
	}
	packets, err := s.parsePayload(body, isBinary)
	if err != nil {
		return nil, http.StatusBadRequest, &CloseError{Reason: ReasonParseError, Remote: true, Err: err}
	}
	return packets, http.StatusOK, nil
}

// abortBody makes the current read of a POST's body fail. That may confuse net/http while it watches the connection, so
// receive closes the connection afterwards. The caller holds s.mu.
func (s *Socket) abortBody() {
	if s.body != nil {
		_ = s.body.SetReadDeadline(time.Unix(1, 0)) // a broken connection fails in Read
		s.body = nil
	}
}

// bodyTimeout is the time limit for reading the body of a POST.
const bodyTimeout = 30 * time.Second

// readPost reads the body of a POST. It returns the body, the status of the response, and the reason to end the
// session, or nil.
func (s *Socket) readPost(w http.ResponseWriter, r *http.Request, isBinary bool, deadline time.Time) ([]byte, int, *CloseError) {
	fail := func(status int, err error) ([]byte, int, *CloseError) {
		return nil, status, &CloseError{Reason: ReasonTransportError, Remote: true, Err: err}
	}
	if isBinary && s.rev == Revision4 {
		return fail(http.StatusBadRequest, errPostType)
	}
	if r.ContentLength > int64(s.conf.wire.MaxPayload) {
		return fail(http.StatusRequestEntityTooLarge, errPostSize)
	}
	size := s.conf.wire.MaxPayload
	if r.ContentLength >= 0 {
		size = int(r.ContentLength)
	}
	all := http.MaxBytesReader(w, r.Body, int64(s.conf.wire.MaxPayload))
	body, whole, err := s.readEarly(r, all, size, isBinary)
	if !whole && err == nil {
		body, err = s.readRest(body, all, size)
	}
	var tooLarge *http.MaxBytesError
	var failure *CloseError
	var syntax *packet.SyntaxError
	switch {
	case errors.As(err, &tooLarge):
		return fail(http.StatusRequestEntityTooLarge, errPostSize)
	case errors.Is(err, ErrUnadmitted):
		return nil, http.StatusRequestEntityTooLarge, nil
	case errors.As(err, &failure):
		return nil, http.StatusOK, failure
	case errors.As(err, &syntax):
		return nil, http.StatusBadRequest, &CloseError{Reason: ReasonParseError, Remote: true, Err: err}
	case errors.Is(err, receivelimit.ErrEvicted):
		return fail(http.StatusServiceUnavailable, receivelimit.ErrEvicted)
	case err != nil && !time.Now().Before(deadline):
		return fail(http.StatusRequestTimeout, errPostTime)
	case err != nil:
		return fail(http.StatusBadRequest, errPostAborted)
	}
	return body, http.StatusOK, nil
}

// abortPost is abortBody for callers that do not hold s.mu.
func (s *Socket) abortPost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abortBody()
	s.cond.Broadcast() // the POST may wait for the peer's admission
}

// readRest reads a body to its end. It returns early and the bytes after it. It returns nil if readEarly delivered
// packets and no bytes remain.
func (s *Socket) readRest(early []byte, body io.Reader, size int) (_ []byte, err error) {
	delivered := early != nil
	if len(early) > 0 {
		body = io.MultiReader(bytes.NewReader(early), body)
	}
	var in *receivelimit.Reservation
	defer func() {
		if in.End() {
			err = receivelimit.ErrEvicted
		}
	}()
	rest, err := receivelimit.ReadBody(body, size, receivelimit.Free, s.counted(s.conf.receiveLimit, &in))
	if delivered && len(rest) == 0 {
		return nil, err
	}
	return rest, err
}

// counted returns the function with which receivelimit.ReadBody reserves memory of limit. It sets in when it first
// counts the POST.
func (s *Socket) counted(limit *receivelimit.Limit, in **receivelimit.Reservation) func(n int) error {
	return func(n int) error {
		if *in == nil {
			*in = limit.Begin(s.abortPost)
		}
		return (*in).Grow(s.Context(), n)
	}
}

// parsePayload parses the body of a POST. A form without a payload has no packets. The text form of revision 3 has two
// dialects.
func (s *Socket) parsePayload(body []byte, isBinary bool) ([]packet.Packet, error) {
	switch {
	case s.jsonp:
		var ok bool
		var err error
		if body, ok, err = formPayload(body); !ok || err != nil {
			return nil, err
		}
	case isBinary:
		return packet.ParsePayload(s.rev, packet.Binary, body)
	}
	packets, err := packet.ParsePayload(s.rev, packet.Text, body)
	if s.rev == Revision4 || err != nil {
		return packets, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialect = s.dialect.learn(packets)
	if s.dialect >= doubleDialect {
		for i := range packets {
			wire.DecodeDoubleUTF8(&packets[i])
		}
	}
	return packets, nil
}

// deliver passes packets to the reader. If they contain a close packet, it passes on only the packets before it and
// returns the reason to end the session.
func (s *Socket) deliver(packets []packet.Packet) *CloseError {
	var failure *CloseError
	if i := slices.IndexFunc(packets, func(p packet.Packet) bool { return p.Type == packet.Close }); i >= 0 {
		// The waiting poll returns the close at once, even if the reader is busy. The reader still gets the packets
		// before it.
		packets = packets[:i]
		failure = &CloseError{Reason: ReasonTransportClose, Remote: true}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		s.inbox = append(s.inbox, packets...)
		s.cond.Broadcast()
	}
	return failure
}
