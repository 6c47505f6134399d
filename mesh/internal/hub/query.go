package hub

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// maxRID limits the ID that connects a response to its query, in bytes.
const maxRID = 64

// Limits of the queries of a peer: a burst, and a rate per second. Queries beyond them wait. A costly query counts as
// several: one for each questionNodes nodes in a response, for each questionBytes bytes of the event table that a
// response is about, and for each questionScan nodes that a search or a grouping visits.
const (
	questionBurst = 20
	questionRate  = 50
	questionNodes = 32
	questionBytes = 16 << 10
	questionScan  = 4096
)

// asked decodes a peer's query, and waits until the rate limit permits it. It returns false if it has rejected the
// query or the session has ended. The hub first processes the messages that the peer sent before the query.
func (p *peer) asked(ctx context.Context, event string, payload json.RawMessage, question any, rid *json.RawMessage) bool {
	err := json.Unmarshal(payload, question) // copies, because dispatch frees the memory of the payload
	p.dispatch(false)
	if !limit.Wait(ctx, p.questions.Borrow(1, questionRate, questionBurst)) {
		return false
	}
	if len(*rid) > maxRID {
		err, *rid = errLongRID, nil
	}
	switch {
	case err != nil:
		p.refuseQuestion(event, *rid)
	case !p.may(Emit, event):
		p.denyQuestion(event, *rid)
	default:
		return true
	}
	return false
}

// charge counts the cost of a response as further queries. The next query waits for them.
func (p *peer) charge(questions int) { p.questions.Borrow(questions, questionRate, questionBurst) }

var errLongRID = errors.New("mesh: the rid of the query is too long")

// denyQuestion responds to a query that Options.Permit rejects.
func (p *peer) denyQuestion(event string, rid json.RawMessage) {
	p.refuse(protocol.RuleMayNotEmit, "event", event)
	p.fail(event, rid, wire.CodeNotPermitted, "the hub does not permit this request")
}

// refuseQuestion responds to a payload that is not a valid query.
func (p *peer) refuseQuestion(event string, rid json.RawMessage) {
	p.refuse(wire.RuleMalformed, "event", event)
	p.fail(event, rid, wire.CodeBadQuery, "the payload is invalid for this request")
}

// fail sends the response to a query that fails.
func (p *peer) fail(event string, rid json.RawMessage, code, message string) {
	p.reply(event, wire.Failure{RID: rid, Error: code, Message: message})
}

// reply sends a response.
func (p *peer) reply(event string, answer any) {
	if !p.offer([]engineio.Message{wire.Control(event, answer)}) {
		p.overflow()
	}
}

// offer queues messages for a peer. It returns false if the queue is full.
func (p *peer) offer(m []engineio.Message) bool {
	return !errors.Is(p.sock.TryWrite(m...), engineio.ErrQueueFull)
}
