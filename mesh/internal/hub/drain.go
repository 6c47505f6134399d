package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Drain asks the peers to move, and returns when all that can move are gone.
func (h *Hub) Drain(ctx context.Context) error {
	h.server.Drain()
	if len(h.others.IDs()) == 0 {
		return nil
	}
	staying := h.sendAway()
	h.conf.Logger.Info("mesh: the hub will close: it asks its clients to move", "clients", staying)
	for ; staying > 0; staying = h.staying() {
		select {
		case <-h.departures:
		case <-h.conf.Local.Done():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("mesh: shutdown: %d clients have not moved: %w", staying, context.Cause(ctx))
		}
	}
	return nil
}

// sendAway asks present and future peers to move, and returns the number of the present ones.
func (h *Hub) sendAway() (told int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.draining = true
	for _, p := range h.roster.slots {
		if p != nil && p.willMove() {
			p.sendAway()
			told++
		}
	}
	return told
}

// staying returns the number of peers that have not moved yet.
func (h *Hub) staying() (n int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	for _, p := range h.roster.slots {
		if p != nil && p.willMove() {
			n++
		}
	}
	return n
}

var ErrDraining = errors.New("mesh: the hub will close: its clients move to others")

func (h *Hub) IsDraining() bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return h.draining
}

// willMove reports whether the peer moves when the hub asks it. The caller holds the roster's lock.
func (p *peer) willMove() bool { return p.moves && p.admitted }

// sendAway asks the peer to move. If the peer's queue is full, the hub is about to close the peer anyway.
func (p *peer) sendAway() {
	_ = p.sock.TryWrite(wire.Control(protocol.NameMove, wire.Empty{}))
}

// departed signals drain that a peer is gone.
func (h *Hub) departed() {
	select {
	case h.departures <- struct{}{}:
	default: // drain will check again anyway
	}
}

// answerSync replies when all hubs have processed everything that was sent to them before.
func (p *peer) answerSync(ctx context.Context, payload json.RawMessage) {
	var q wire.Sync
	if json.Unmarshal(payload, &q) != nil || len(q.RID) > maxRID { // Unmarshal copies: settle releases the payload's memory
		p.refuseQuestion(protocol.NameSync, nil)
		return
	}
	switch sure, ok := p.settle(ctx); {
	case !ok:
	case sure:
		p.reply(protocol.NameSync, q)
	default:
		p.fail(protocol.NameSync, q.RID, wire.CodeUnanswered, "another hub does not answer")
	}
}

// departTries is the number of attempts to get replies from all other hubs before a peer leaves. All attempts fit into
// leaveTimeout.
const departTries = 2

// depart releases a peer that has moved to another hub. The peer ignores everything that would follow the reply.
func (p *peer) depart(ctx context.Context) {
	for range departTries {
		sure, ok := p.settle(ctx)
		if !ok {
			return
		}
		if sure {
			break
		}
	}
	p.setInterests(nil, nil)
	p.setTable(nil)
	p.stopWatching()
	p.reply(protocol.NameLeft, wire.Empty{})
}

// settle returns when three conditions hold. The other hubs have processed everything that this hub had published. This
// hub has processed everything that the other hubs had published. Every event that this hub was routing is in the
// queues of its receivers, which the hub may have looked up before it had the peer's last table. sure is false if one
// of the hubs does not reply. ok is false if the session has ended.
func (p *peer) settle(ctx context.Context) (sure, ok bool) {
	p.dispatch(false)
	if !limit.Wait(ctx, p.questions.Borrow(1, questionRate, questionBurst)) {
		return false, false
	}
	p.hub.busy.Quiesce()
	sure = p.hub.others.Sync(ctx)
	return sure, ctx.Err() == nil
}
