package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// failureError returns the Go error for a code of a hub's response.
func failureError(code string) error {
	switch code {
	case wire.CodeUnknownNode:
		return ErrUnknownNode
	case wire.CodeTooMany:
		return ErrTooManyWatchers
	case wire.CodeNotPermitted:
		return ErrNotPermitted
	case wire.CodeUnanswered:
		return errUnanswered
	}
	return errQuestion
}

var errUnanswered = errors.New("mesh: another hub does not answer")

// questions are the queries that a client has sent on a connection and that have no response yet.
type questions struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan json.RawMessage
}

func (q *questions) ask() (rid uint64, answer chan json.RawMessage) {
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

func (q *questions) forget(rid uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, rid)
}

// answer passes a response to its query.
func (q *questions) answer(payload json.RawMessage) {
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
func (c *client) ready(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := c.node.emitter.version.Load()
	for {
		switch conn := c.conn; {
		case c.closing:
			return nil, ErrClosed
		case c.retired:
			return nil, errRoleChanged
		case conn != nil && !conn.native:
			return nil, ErrLegacyHub
		case conn != nil && conn.announced >= version:
			return conn, nil
		}
		c.wait(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// ask sends a query to the hub, and sends it again if the connection breaks before the response. It returns the
// connection of the response.
func (c *client) ask(ctx context.Context, event string, question func(rid json.RawMessage) any, answer any) (*conn, error) {
	for {
		conn, err := c.ready(ctx)
		if err != nil {
			return nil, err
		}
		raw, err := c.askOn(ctx, conn, event, question)
		switch {
		case err == nil:
			return conn, readAnswer(raw, answer)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case c.life.Err() != nil:
			return nil, ErrClosed
		}
		c.mu.Lock()
		c.lose(conn)
		c.mu.Unlock()
	}
}

// askOn sends a query on one connection and returns the response.
func (c *client) askOn(ctx context.Context, conn *conn, event string, question func(rid json.RawMessage) any) (json.RawMessage, error) {
	rid, answered := conn.questions.ask()
	defer conn.questions.forget(rid)
	mark, _ := json.Marshal(rid)
	if err := conn.sock.Write(ctx, wire.Control(event, question(mark))); err != nil {
		return nil, err
	}
	select {
	case raw := <-answered:
		return raw, nil
	case <-conn.sock.Context().Done():
		return nil, context.Cause(conn.sock.Context())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.life.Done():
		return nil, ErrClosed
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
