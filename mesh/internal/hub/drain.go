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
	staying := h.askPeersToMove()
	h.conf.Logger.Info("mesh: the hub will close: it asks its clients to move", "clients", staying)
	for ; staying > 0; staying = h.countMoving() {
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

// askPeersToMove asks present and future peers to move, and returns the number of the present ones.
func (h *Hub) askPeersToMove() (asked int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.draining = true
	for _, p := range h.roster.slots {
		if p != nil && p.willMove() {
			p.askToMove()
			asked++
		}
	}
	return asked
}

// countMoving returns the number of peers that have not moved yet.
func (h *Hub) countMoving() (n int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	for _, p := range h.roster.slots {
		if p != nil && p.willMove() {
			n++
		}
	}
	return n
}

// ErrDraining reports that the hub is about to close.
var ErrDraining = errors.New("mesh: the hub will close: its clients move to others")

// IsDraining reports whether Drain was called.
func (h *Hub) IsDraining() bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return h.draining
}

// willMove reports whether the peer moves when the hub asks it. The caller holds the roster's lock.
func (p *peer) willMove() bool { return p.moves && p.admitted }

// askToMove asks the peer to move. If the peer's queue is full, the hub is about to close the peer anyway.
func (p *peer) askToMove() {
	_ = p.sock.TryWrite(wire.Control(protocol.NameMove, wire.Empty{}))
}

// signalDeparture signals Drain that a peer is gone.
func (h *Hub) signalDeparture() {
	select {
	case h.departures <- struct{}{}:
	default: // Drain will check again anyway
	}
}

// answerSync replies when all hubs have processed everything that was sent to them before.
func (p *peer) answerSync(ctx context.Context, payload json.RawMessage) {
	var q wire.Sync
	if json.Unmarshal(payload, &q) != nil || len(q.RID) > maxRID {
		p.rejectQuery(protocol.NameSync, nil)
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

// settleTries is the number of attempts to get replies from all other hubs before a peer leaves. All attempts fit into
// the client's leaveTimeout, see package uplink.
const settleTries = 2

// releaseMoved releases a peer that has moved to another hub. The peer ignores everything that would follow the reply.
func (p *peer) releaseMoved(ctx context.Context) {
	for range settleTries {
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
	if !limit.Wait(ctx, p.queries.Borrow(1, queryRate, queryBurst)) {
		return false, false
	}
	p.hub.inflight.Quiesce()
	sure = p.hub.others.Sync(ctx)
	return sure, ctx.Err() == nil
}
