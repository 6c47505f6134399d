package mesh

import (
	"context"
	"encoding/json"
)

// nodes returns the nodes of another hub, or a part of them if the hub stops responding.
func (c *cluster) nodes(ctx context.Context, id string) (all []NodeInfo) {
	for next, first := 0, true; first || next > 0; first = false {
		page := make(chan *control, 1)
		c.ask(id, control{Kind: askNodes, After: next, Limit: maxPage}, func(a *control) { page <- a })
		var a *control
		select {
		case a = <-page:
		case <-ctx.Done():
		}
		if a == nil {
			return all
		}
		for _, raw := range a.Nodes {
			var info NodeInfo
			if json.Unmarshal(raw, &info) == nil {
				all = append(all, info)
			}
		}
		next = a.Next
	}
	return all
}
