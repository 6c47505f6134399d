package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"net"

	"github.com/bigcompany/mesh/mesh/internal/uplink"
)

// takeover is the role of a node that has become the hub, until the hub has the events that the uplink had queued.
// Events go into that queue meanwhile, so that all of them keep their order. takeover is also the uplink's Successor.
type takeover struct {
	hubRole
	home      address
	listeners []net.Listener
}

func (t *takeover) Emit(event string, payload json.RawMessage, rid string) error {
	return t.node.uplink.Emit(event, payload, rid)
}

func (t *takeover) Flush(ctx context.Context) error { return t.node.uplink.Flush(ctx) }

// takeOver binds the address home and returns the hub that this node can be there. Otherwise it returns nil and the
// address of the hub that has bound home; own if it does not know that hub.
func (n *Node) takeOver(ctx context.Context, home address, own uplink.Addr) (uplink.Successor, uplink.Addr) {
	listeners, err := bind(ctx, home)
	if err != nil {
		var be *bindError
		switch {
		case errors.As(err, &be) && be.taken:
			return nil, home.at(be.host).target()
		case errors.As(err, &be) && be.foreign:
		default:
			n.opts.Logger.Debug("mesh: this node cannot take over from the hub", "addr", home.String(), "error", err)
		}
		return nil, own
	}
	h, err := n.newHub(ctx, home)
	if err != nil {
		n.opts.Logger.Error("mesh: this node cannot take over from the hub: it cannot join the others", "error", err)
		closeAll(listeners)
		return nil, own
	}
	return &takeover{hubRole: hubRole{h, n}, home: home, listeners: listeners}, own
}

func (t *takeover) Begin() {
	t.node.setAddr(t.home.target())
	t.node.setRole(t)
}

func (t *takeover) Abandon() {
	t.Close()
	closeAll(t.listeners)
}

func (t *takeover) Serve() {
	t.Announce() // a listener may be new since newHub
	t.WatchPresence()
	t.Hub.Serve(t.listeners)
}

func (t *takeover) Report() {
	info, _ := t.hubInfo()
	t.node.report(State{Status: Connected, Role: RoleHub, Hub: info})
}

func (t *takeover) Continue(seq uint64) { t.SetLastSeq(seq) }

func (t *takeover) Accept(event string, payload json.RawMessage, rid string) error {
	return t.Hub.Emit(event, payload, rid)
}

func (t *takeover) End() { t.node.setRole(t.hubRole) }

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}
