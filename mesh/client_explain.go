package mesh

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bigcompany/mesh/protocol"
)

func (c *client) explain(ctx context.Context, from, to, event string) (e Explanation, err error) {
	if info, ok := c.hubInfo(); ok && info.Node && to == c.node.id && from == "" {
		return c.explainSelf(event), nil
	}
	_, err = c.ask(ctx, protocol.NameExplain, func(rid json.RawMessage) any {
		return explainQuestion{RID: rid, To: to, Event: event, From: from}
	}, &e)
	switch {
	case errors.Is(err, errIsHub):
		return c.node.hub.Load().explain(ctx, from, to, event)
	case err != nil:
		return Explanation{}, unanswered(err)
	}
	return e, nil
}

// explainSelf applies the rules of a Node.js hub to an event for this node.
func (c *client) explainSelf(event string) Explanation {
	match := matching(c.node.interests(), event)
	rule := RuleListens
	switch {
	case !protocol.Relayed(event):
		rule, match = RuleReserved, ""
	case match == "":
		rule = RuleNoListener
	case match != event:
		rule = RuleNodeHub
	}
	return Explanation{Delivered: rule == RuleListens, Rule: rule, Match: match}
}
