package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/engineio"
)

// maxRID bounds the mark by which an answer is known, in bytes.
const maxRID = 64

// A peer may ask so many questions at once, and so many a second; those beyond wait their turn. What is more work
// counts as more: a question for each so many nodes in an answer, or bytes of the table that an answer is about.
const (
	questionBurst = 20
	questionRate  = 50
	questionNodes = 32
	questionBytes = 16 << 10
	questionScan  = 4096 // nodes that a search or a grouping looks at
)

// failure is the answer to a question that has none.
type failure struct {
	RID     json.RawMessage `json:"rid,omitempty"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
}

// Errors, as they cross the wire.
const (
	codeBadQuestion  = "bad-question"
	codeNotPermitted = "not-permitted"
	codeUnknownNode  = "unknown-node"
	codeTooMany      = "too-many-watchers"
	codeUnanswered   = "unanswered"
)

// err says in Go what a hub's answer says.
func (f *failure) err() error {
	switch f.Error {
	case codeUnknownNode:
		return ErrUnknownNode
	case codeTooMany:
		return ErrTooManyWatchers
	case codeNotPermitted:
		return ErrNotPermitted
	case codeUnanswered:
		return errUnanswered
	}
	return errQuestion
}

var errUnanswered = errors.New("mesh: another hub does not answer")

var errQuestion = errors.New("mesh: the hub did not understand the question")

// asked gets a peer's question: it decodes it, waits until it is the peer's turn, and tells whether there is something to
// answer. What the peer sent before the question is dealt with first.
func (p *peer) asked(ctx context.Context, event string, payload json.RawMessage, question any, rid *json.RawMessage) bool {
	err := json.Unmarshal(payload, question) // copies: dispatch gives the payload's memory away
	p.dispatch(false)
	if !pause(ctx, p.questions.borrow(1, questionRate, questionBurst)) {
		return false
	}
	if len(*rid) > maxRID {
		err, *rid = errQuestion, nil
	}
	switch {
	case err != nil:
		p.refuseQuestion(event, *rid)
	case !p.may(MayEmit, event):
		p.denyQuestion(event, *rid)
	default:
		return true
	}
	return false
}

// charge counts an answer as so many questions more: the next one waits for them.
func (p *peer) charge(questions int) { p.questions.borrow(questions, questionRate, questionBurst) }

// denyQuestion answers a question that the peer may not ask.
func (p *peer) denyQuestion(event string, rid json.RawMessage) {
	p.refuse(RuleMayNotEmit, "event", event)
	p.reply(event, failure{rid, codeNotPermitted, "the hub does not permit this question"})
}

// refuseQuestion answers what is no question.
func (p *peer) refuseQuestion(event string, rid json.RawMessage) {
	p.refuse(RuleMalformed, "event", event)
	p.reply(event, failure{rid, codeBadQuestion, "the payload is none of this question"})
}

// reply answers a question.
func (p *peer) reply(event string, answer any) {
	if !p.offer([]engineio.Message{reserved(event, answer)}) {
		p.overflow()
	}
}

// offer queues messages for a peer. It returns false if the queue is full.
func (p *peer) offer(m []engineio.Message) bool {
	return !errors.Is(p.sock.TryWrite(m...), engineio.ErrQueueFull)
}

// questions are those that a client has asked on a connection and that are not answered yet.
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

// answer hands an answer to whoever waits for it.
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

// errIsHub says that this node can answer the question itself, as it has become the hub.
var errIsHub = errors.New("mesh: this node is the hub")

// ready returns the connection, once there is one whose hub knows what this node wants.
func (c *client) ready(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := c.node.emitter.version.Load()
	for {
		switch conn := c.conn; {
		case c.closing:
			return nil, ErrClosed
		case c.hub != nil:
			return nil, errIsHub
		case conn != nil && !conn.native:
			return nil, ErrNodeHub
		case conn != nil && conn.announced >= version:
			return conn, nil
		}
		c.wait(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// ask asks the hub, and asks again if the connection breaks before the answer. It returns the connection that brought it.
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

// askOn asks on one connection.
func (c *client) askOn(ctx context.Context, conn *conn, event string, question func(rid json.RawMessage) any) (json.RawMessage, error) {
	rid, answered := conn.questions.ask()
	defer conn.questions.forget(rid)
	mark, _ := json.Marshal(rid)
	if err := conn.sock.Write(ctx, reserved(event, question(mark))); err != nil {
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

// readAnswer decodes an answer. Its error may be the hub's.
func readAnswer(raw json.RawMessage, answer any) error {
	var f failure
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	if f.Error != "" {
		return f.err()
	}
	return json.Unmarshal(raw, answer)
}

// unanswered adds what is missing to an error of ask.
func unanswered(err error) error {
	if strings.HasPrefix(err.Error(), "mesh: ") {
		return err
	}
	return fmt.Errorf("mesh: the hub did not answer: %w", err)
}
