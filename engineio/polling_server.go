package engineio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

const (
	typeText   = "text/plain; charset=UTF-8"
	typeBinary = "application/octet-stream"
)

// poll is a waiting GET.
type poll struct {
	wake chan struct{}
	most int // packets that the client accepts in one payload
}

// release makes the poll check whether it has something to send.
func (p *poll) release() {
	select {
	case p.wake <- struct{}{}:
	default: // it will check soon anyway
	}
}

// pythonMaxPackets is the number of packets that python-engineio accepts in a payload. Its client ends the session when
// it gets a longer payload. Its server responds to one with status 200, drops the packets, and continues the session
// (python-engineio 4.3.4). The client is recognized by the name of its HTTP library: "python-requests/2.28.1" or
// "Python/3.11 aiohttp/3.8.4".
const pythonMaxPackets = 16

// A server responds to the polls that wait during an upgrade at once, so that the upgrade does not wait. It responds to
// the first promptNoops polls at once. If the client still polls and its upgrade makes no progress, each later poll
// waits noopInterval.
const (
	promptNoops  = 8
	noopInterval = 100 * time.Millisecond
)

var (
	errPollOverlap = errors.New("engineio: overlap from client")
	errPollAborted = errors.New("engineio: poll connection closed prematurely")
)

func (srv *Server) openPolling(w http.ResponseWriter, r *http.Request, q url.Values, rev Revision) {
	s, err := srv.open(r, q, rev, Polling)
	if err != nil {
		srv.rejectSession(w, r, err)
		return
	}
	packets := []packet.Packet{srv.openPacket(s, Polling)}
	for _, o := range srv.initial {
		packets = append(packets, o.Packet())
	}
	srv.setCookie(w, s)
	if err := s.respondToPoll(w, r, packets, true); err != nil {
		srv.abandon(s, err)
		return
	}
	srv.run(s)
}

// servePoll responds to a GET with the queued packets. It waits until there are some.
func (s *Socket) servePoll(w http.ResponseWriter, r *http.Request) {
	if r.Context().Err() != nil {
		abandonRequest(w, r)
		return
	}
	unhurried(w) // respond sets a deadline
	s.mu.Lock()
	s.awaitProbe()
	switch {
	case s.state == stateClosed:
		s.mu.Unlock()
		s.conf.server.rejectUnknown(w, r)
		return
	case !s.phase.polls():
		s.mu.Unlock()
		s.conf.server.rejectMismatch(w, r, Polling, s.Transport())
		return
	case s.poll != nil:
		s.mu.Unlock()
		s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: errPollOverlap}, nil)
		_ = s.conf.server.respond(w, http.StatusBadRequest, nil) // a broken connection ends by itself
		return
	}
	p := &poll{wake: make(chan struct{}, 1), most: packet.MaxPackets}
	if strings.Contains(strings.ToLower(r.UserAgent()), "python") {
		p.most = pythonMaxPackets
	}
	s.poll = p
	for s.writing && s.state != stateClosed { // the response to the last poll is still being written
		s.cond.Wait()
	}
	out, packets, ok := s.takeForPoll(r.Context(), p)
	mine := s.poll == p // if false, the session has moved to a stream, and the result of this poll does not matter
	if mine {
		s.poll = nil
	}
	if !ok {
		s.mu.Unlock()
		if mine {
			s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: errPollAborted}, nil)
		}
		giveUpConnection(w, r)
		return
	}
	s.writing = s.writing || len(out) > 0
	s.holds(out)
	ends := s.state == stateLeaving || s.state.closing() && packets[len(packets)-1].Type == packet.Close
	closed := s.closeErr
	s.mu.Unlock()

	compress := slices.ContainsFunc(out, func(o *wire.Outgoing) bool { return !o.NoCompression })
	err := s.respondToPoll(w, r, packets, compress)
	if err != nil && mine {
		s.sendFailed(err)
	}
	if len(out) > 0 {
		s.mu.Lock()
		s.sent(out, 0)
		s.holds(nil)
		recycle(out)
		s.writing = false
		s.kick()
		s.cond.Broadcast()
		s.mu.Unlock()
	}
	if ends {
		s.finish(closed, nil)
	}
}

// takeForPoll waits until there is something to send in the response to a poll, and takes it from the queue. It returns
// false if the client ended the poll. The caller holds s.mu, which is released while waiting.
func (s *Socket) takeForPoll(ctx context.Context, p *poll) (out []*wire.Outgoing, packets []packet.Packet, ok bool) {
	var pace <-chan time.Time
	waited, paced := false, false
	for {
		switch {
		case ctx.Err() != nil:
			return nil, nil, false
		case s.state == stateClosed:
			end := packet.Close
			if s.closeErr.Reason == ReasonTransportClose {
				end = packet.Noop // the client closed the session itself
			}
			return nil, []packet.Packet{{Type: end}}, true
		case !s.phase.polls():
			return nil, []packet.Packet{{Type: packet.Noop}}, true
		case len(s.queue) > 0:
			out, s.queue = s.queue, nil
			if most := p.most - 1; len(out) > most { // leave room for a close packet
				out, s.queue = out[:most:most], slices.Clone(out[most:])
			}
			for _, o := range out {
				packets = append(packets, o.Packet())
			}
			if s.state.closing() && !s.phase.upgrades() && len(s.queue) == 0 {
				packets = append(packets, packet.Packet{Type: packet.Close})
			}
			return out, packets, true
		case s.state == stateLeaving:
			return nil, []packet.Packet{{Type: packet.Noop}}, true
		case s.state.closing() && !s.phase.upgrades():
			// If the poll came after the close, the server sends a noop before the close packet, as the reference does.
			packets = []packet.Packet{{Type: packet.Noop}, {Type: packet.Close}}
			if waited {
				packets = packets[1:]
			}
			return nil, packets, true
		case s.phase.probed() && (s.noops < promptNoops || paced):
			s.noops = min(s.noops+1, promptNoops)
			return nil, []packet.Packet{{Type: packet.Noop}}, true
		case s.phase.probed() && pace == nil:
			t := time.NewTimer(noopInterval)
			defer t.Stop()
			pace = t.C
		}
		s.mu.Unlock()
		waited, ok = true, true
		select {
		case <-p.wake:
		case <-pace:
			paced = true
		case <-ctx.Done():
			ok = false
		}
		s.mu.Lock()
		if !ok {
			return nil, nil, false
		}
	}
}

// respondToPoll writes packets as the body of the response to a poll. It compresses them if compress is set and the
// client of r accepts it.
func (s *Socket) respondToPoll(w http.ResponseWriter, r *http.Request, packets []packet.Packet, compress bool) error {
	enc, contentType := s.payloadEncoding(packets), typeText
	if enc == packet.Binary {
		contentType = typeBinary
	}
	body := packet.AppendPayload(nil, s.rev, enc, packets...)
	h := w.Header()
	if s.jsonp {
		body, contentType = s.script(body), typeScript
		h.Set("X-Content-Type-Options", "nosniff")
	}
	if o := &s.conf.server.opts; compress && !o.NoHTTPCompression && len(body) >= o.CompressionThreshold {
		if coding := acceptedCoding(strings.Join(r.Header.Values("Accept-Encoding"), ",")); coding != nil {
			body = coding.compress(body)
			h.Set("Content-Encoding", coding.name)
		}
	}
	h.Set("Content-Type", contentType)
	setPollingHeaders(w, r)
	return s.conf.server.respond(w, http.StatusOK, body)
}

// setPollingHeaders sets the headers of all responses by polling. Internet Explorer mistook such responses for an
// attack.
func setPollingHeaders(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if ua := r.UserAgent(); strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/") {
		w.Header().Set("X-XSS-Protection", "0")
	}
}

// payloadEncoding chooses the form of a payload. All parsers of revision 3 read the binary form in the same way, and in
// browsers clients up to 1.5 read only that form. Later clients read ASCII in the text form too, and the reference uses
// the text form for ASCII.
func (s *Socket) payloadEncoding(packets []packet.Packet) packet.Encoding {
	if s.rev == Revision4 {
		return packet.Text
	}
	s.mu.Lock()
	twice := s.dialect >= doubleDialect
	s.mu.Unlock()
	switch {
	case s.base64 && twice:
		return packet.TextDoubleUTF8
	case s.base64:
		return packet.Text
	case twice || slices.ContainsFunc(packets, needsBinaryForm):
		return packet.Binary
	default:
		return packet.Text
	}
}

func needsBinaryForm(p packet.Packet) bool {
	return p.Binary || slices.ContainsFunc(p.Data, func(c byte) bool { return c >= 0x80 })
}
