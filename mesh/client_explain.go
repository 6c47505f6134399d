package mesh

import (
	"context"
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

func (c *client) Explain(ctx context.Context, from, to, event string) (e Explanation, err error) {
	if info, ok := c.hubInfo(); ok && info.Legacy && to == c.node.id && from == "" {
		return c.explainSelf(event), nil
	}
	_, err = c.ask(ctx, protocol.NameExplain, func(rid json.RawMessage) any {
		return wire.ExplainQuery{RID: rid, To: to, Event: event, From: from}
	}, &e)
	if err != nil {
		return Explanation{}, unanswered(err)
	}
	return e, nil
}

// explainSelf applies the rules of a Node.js hub to an event for this node.
func (c *client) explainSelf(event string) Explanation {
	match := wire.Matching(c.node.interests(), event)
	rule := protocol.RuleListens
	switch {
	case !protocol.Relayed(event):
		rule, match = protocol.RuleReserved, ""
	case match == "":
		rule = protocol.RuleNoListener
	case match != event:
		rule = protocol.RuleLegacyHub
	}
	return Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}
}
