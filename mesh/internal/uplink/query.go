package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// failureError returns the Go error for a code of a hub's response.
func failureError(code string) error {
	switch code {
	case wire.CodeUnknownNode:
		return fault.ErrUnknownNode
	case wire.CodeTooMany:
		return fault.ErrTooManyWatchers
	case wire.CodeNotPermitted:
		return fault.ErrNotPermitted
	case wire.CodeUnanswered:
		return errUnanswered
	}
	return errBadQuery
}

var (
	errUnanswered = errors.New("mesh: another hub does not answer")
	errBadQuery   = errors.New("mesh: the hub did not understand the request")
)

// queries are the queries that the uplink has sent on a connection and that have no response yet.
type queries struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan json.RawMessage
}

func (q *queries) ask() (rid uint64, answer chan json.RawMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[uint64]chan json.RawMessage)
	}
	q.last++
	answer = make(chan json.RawMessage, 1)
	q.waiting[q.last] = answer
	return q.last, answer
}

func (q *queries) forget(rid uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, rid)
}

// answer passes a response to its query.
func (q *queries) answer(payload json.RawMessage) {
	var a struct{ RID uint64 }
	if json.Unmarshal(payload, &a) != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if answer, ok := q.waiting[a.RID]; ok {
		answer <- payload
		delete(q.waiting, a.RID)
	}
}

// ready returns the connection, after its hub has the node's current event table.
func (u *Uplink) ready(ctx context.Context) (*conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	version := u.conf.Local.Version()
	for {
		switch conn := u.conn; {
		case u.phase == closing:
			return nil, fault.ErrClosed
		case u.phase != active:
			return nil, ErrRetired
		case conn != nil && !conn.native:
			return nil, fault.ErrLegacyHub
		case conn != nil && conn.table >= version:
			return conn, nil
		}
		u.wait(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// ask sends a query to the hub, and sends it again if the connection breaks before the response. It returns the
// connection of the response.
func (u *Uplink) ask(ctx context.Context, event string, query func(rid json.RawMessage) any, answer any) (*conn, error) {
	for {
		conn, err := u.ready(ctx)
		if err != nil {
			return nil, err
		}
		raw, err := u.askOn(ctx, conn, event, query)
		switch {
		case err == nil:
			return conn, readAnswer(raw, answer)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case u.life.Err() != nil:
			return nil, fault.ErrClosed
		}
		u.mu.Lock()
		u.lose(conn)
		u.mu.Unlock()
	}
}

// askOn sends a query on one connection and returns the response.
func (u *Uplink) askOn(ctx context.Context, conn *conn, event string, query func(rid json.RawMessage) any) (json.RawMessage, error) {
	rid, answered := conn.queries.ask()
	defer conn.queries.forget(rid)
	mark, _ := json.Marshal(rid)
	if err := conn.sock.Write(ctx, wire.Control(event, query(mark))); err != nil {
		return nil, err
	}
	select {
	case raw := <-answered:
		return raw, nil
	case <-conn.sock.Context().Done():
		return nil, context.Cause(conn.sock.Context())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-u.life.Done():
		return nil, fault.ErrClosed
	}
}

// readAnswer decodes a response. It returns an error if the response is a failure.
func readAnswer(raw json.RawMessage, answer any) error {
	var f wire.Failure
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	if f.Error != "" {
		return failureError(f.Error)
	}
	return json.Unmarshal(raw, answer)
}

// unanswered adds context to an error of ask that lacks it.
func unanswered(err error) error {
	if strings.HasPrefix(err.Error(), "mesh: ") {
		return err
	}
	return fmt.Errorf("mesh: the hub did not answer: %w", err)
}

// Explain asks the hub whether the node to receives an event of the node from, and why. If from is empty, some other
// node emits the event.
func (u *Uplink) Explain(ctx context.Context, from, to, event string) (e protocol.Explanation, err error) {
	_, err = u.ask(ctx, protocol.NameExplain, func(rid json.RawMessage) any {
		return wire.ExplainQuery{RID: rid, To: to, Event: event, From: from}
	}, &e)
	if err != nil {
		return protocol.Explanation{}, unanswered(err)
	}
	return e, nil
}
