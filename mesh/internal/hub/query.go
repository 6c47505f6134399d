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
// several: one for each queryNodes nodes in a response, for each queryBytes bytes of the event table that a
// response is about, and for each queryScan nodes that a search or a grouping visits.
const (
	queryBurst = 20
	queryRate  = 50
	queryNodes = 32
	queryBytes = 16 << 10
	queryScan  = 4096
)

// admitQuery decodes a peer's query, and waits until the rate limit permits it. It returns false if it has rejected the
// query or the session has ended. The hub first processes the messages that the peer sent before the query.
func (p *peer) admitQuery(ctx context.Context, event string, payload json.RawMessage, query any, rid *json.RawMessage) bool {
	err := json.Unmarshal(payload, query)
	if !limit.Wait(ctx, p.queries.Borrow(1, queryRate, queryBurst)) {
		return false
	}
	if len(*rid) > maxRID {
		err, *rid = errLongRID, nil
	}
	switch {
	case err != nil:
		p.rejectQuery(event, *rid)
	case !p.may(Emit, event):
		p.denyQuery(event, *rid)
	default:
		return true
	}
	return false
}

// chargeQuery counts the cost of a response as further queries. The next query waits for them.
func (p *peer) chargeQuery(queries int) { p.queries.Borrow(queries, queryRate, queryBurst) }

var errLongRID = errors.New("mesh: the rid of the query is too long")

// denyQuery responds to a query that Options.Permit rejects.
func (p *peer) denyQuery(event string, rid json.RawMessage) {
	p.reject(protocol.RuleMayNotEmit, "event", event)
	p.fail(event, rid, wire.CodeNotPermitted, "the hub does not permit this request")
}

// rejectQuery responds to a payload that is not a valid query.
func (p *peer) rejectQuery(event string, rid json.RawMessage) {
	p.reject(wire.RuleMalformed, "event", event)
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
