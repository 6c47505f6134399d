package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/protocol"
)

// Shutdown ends the node as Close does, once nothing is lost by it, and returns the cause of ctx if that did not come
// about in time. The node is closed all the same.
//
// A hub that has others in its mesh, see Options.Backplane, first tells its peers of this package to move: they go to
// another hub and lose nothing. From then on it refuses new peers, and Ready returns an error; those that it has are served
// until they have moved. A client with one address dials that again, where a load balancer may lead to another hub. All
// other peers are closed at the end, as by Close. A hub that is alone has nowhere to send them, and closes at once.
//
// A client that is shut down waits as Flush does, whose errors it returns.
func (n *Node) Shutdown(ctx context.Context) error {
	var err error
	if !n.closed.Load() {
		err = n.link.drain(ctx)
	}
	_ = n.Close()
	return err
}

// drain has the peers move that can, and returns when they are gone.
func (h *hub) drain(ctx context.Context) error {
	h.server.Drain()
	if len(h.cluster.hubs()) == 0 {
		return nil
	}
	staying := h.sendAway()
	h.node.opts.Logger.Info("mesh: the hub will close: its clients are told to move", "clients", staying)
	for ; staying > 0; staying = h.staying() {
		select {
		case <-h.departures:
		case <-h.node.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("mesh: shutdown: %d clients have not moved: %w", staying, context.Cause(ctx))
		}
	}
	return nil
}

func (c *client) drain(ctx context.Context) error {
	err := c.flush(ctx)
	if h := c.node.hub.Load(); h != nil {
		return cmp.Or(h.drain(ctx), err) // of what was lost with the hub before, its clients know nothing
	}
	return err
}

// sendAway tells the peers to move, those too that come later, and returns how many there are.
func (h *hub) sendAway() (told int) {
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

// staying returns how many peers are still to move.
func (h *hub) staying() (n int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	for _, p := range h.roster.slots {
		if p != nil && p.willMove() {
			n++
		}
	}
	return n
}

var errDraining = errors.New("mesh: the hub will close: its clients move to others")

func (h *hub) isDraining() bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return h.draining
}

// willMove tells whether the peer moves when it is told to. The caller holds the roster's lock.
func (p *peer) willMove() bool { return p.moves && p.admitted }

// sendAway tells the peer to move. One whose queue is full is about to be closed anyway.
func (p *peer) sendAway() {
	_ = p.sock.TryWrite(reserved(protocol.NameMove, struct{}{}))
}

// departed notes that a peer is gone, for drain.
func (h *hub) departed() {
	select {
	case h.departures <- struct{}{}:
	default: // it will look anyway
	}
}

// syncQuestion is the payload of $mesh.sync, and of the answer.
type syncQuestion struct {
	RID json.RawMessage `json:"rid,omitempty"`
}

// answerSync answers when all hubs have dealt with what was sent to them before.
func (p *peer) answerSync(ctx context.Context, payload json.RawMessage) {
	var q syncQuestion
	if json.Unmarshal(payload, &q) != nil || len(q.RID) > maxRID { // copies: settle gives the payload's memory away
		p.refuseQuestion(protocol.NameSync, nil)
		return
	}
	switch sure, ok := p.settle(ctx); {
	case !ok:
	case sure:
		p.reply(protocol.NameSync, q)
	default:
		p.reply(protocol.NameSync, failure{q.RID, codeUnanswered, "another hub does not answer"})
	}
}

// departTries is how often other hubs are asked for a peer that wants to leave, until all answer. It fits into leaveTimeout.
const departTries = 2

// depart lets a peer go that has moved to another hub: what comes behind the answer is of no use to it.
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
	p.reply(protocol.NameLeft, struct{}{})
}

// settle returns when the other hubs have dealt with everything that this one had published, and this one with everything
// that they had; and when whatever this one was routing has got to where it was on its way to, which was perhaps looked
// up before the peer's last table. It is not sure if one of the hubs does not answer, and not ok if the session has ended.
func (p *peer) settle(ctx context.Context) (sure, ok bool) {
	p.dispatch(false)
	if !pause(ctx, p.questions.borrow(1, questionRate, questionBurst)) {
		return false, false
	}
	p.hub.busy.wait()
	sure = p.hub.cluster.sync(ctx)
	return sure, ctx.Err() == nil
}
