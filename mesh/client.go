package mesh

import (
	"context"

	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// clientRole is the role of a node that is connected to a hub, or looks for one.
type clientRole struct {
	*uplink.Uplink
	node *Node
}

func (r clientRole) asHub() *hub.Hub { return nil }

func (r clientRole) hubInfo() (HubInfo, bool) {
	h, ok := r.Hub()
	return HubInfo(h), ok
}

// Explain asks the hub. A Node.js hub does not answer, so the node applies that hub's rules itself.
func (r clientRole) Explain(ctx context.Context, from, to, event string) (Explanation, error) {
	if h, ok := r.Hub(); !ok || !h.Legacy || to != r.node.id || from != "" {
		return r.Uplink.Explain(ctx, from, to, event)
	}
	match := wire.Matching(r.node.interests(), event)
	rule := protocol.RuleListens
	switch {
	case !protocol.Relayed(event):
		rule, match = protocol.RuleReserved, ""
	case match == "":
		rule = protocol.RuleNoListener
	case match != event:
		rule = protocol.RuleLegacyHub
	}
	return Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}, nil
}
