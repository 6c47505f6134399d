package mesh

import (
	"context"
	"time"
)

// question is one that another hub was asked.
type question struct {
	hub   string
	asked time.Time
	// answer is called once, without a lock, with nil if there is no answer.
	answer func(*control)
}

// ask asks another hub. answer is called once, by the goroutine that receives, so that nothing of what the hub says later
// is dealt with before: with nil, maybe by another goroutine, if no answer comes in time.
func (c *cluster) ask(hub string, q control, answer func(*control)) {
	c.mu.Lock()
	if c.closed || len(c.asked) >= maxAsked || c.others[hub] == nil {
		c.mu.Unlock()
		answer(nil)
		return
	}
	c.rid++
	q.RID = c.rid
	c.asked[q.RID] = &question{hub: hub, asked: time.Now(), answer: answer}
	c.mu.Unlock()
	c.say(nameHub+hub, &q, func() {
		if q := c.take(q.RID, hub); q != nil {
			q.answer(nil)
		}
	})
}

// take returns the question that a hub was asked, once.
func (c *cluster) take(rid uint64, hub string) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.asked[rid]
	if q == nil || q.hub != hub {
		return nil
	}
	delete(c.asked, rid)
	return q
}

// verdict asks all other hubs about a node, and returns what the one says that has it, as soon as it does; nil if none has.
func (c *cluster) verdict(ctx context.Context, q control) *Explanation {
	hubs := c.hubs()
	answers := make(chan *control, len(hubs))
	for _, id := range hubs {
		c.ask(id, q, func(a *control) { answers <- a })
	}
	for range hubs {
		select {
		case a := <-answers:
			if a != nil && a.Verdict != nil {
				return a.Verdict
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// answer answers another hub's question.
func (c *cluster) answer(q *control) *control {
	h, a := c.hub, new(control)
	switch q.Kind {
	case askSync:
		// What a peer of this hub has got already must have been published before the answer is: it may be on its way from
		// the hub that asks to this one, and have dropped what it is to get from there.
		h.busy.wait()
	case askNodes:
		h.roster.mu.Lock()
		defer h.roster.mu.Unlock()
		var page nodesAnswer
		a.Next = h.page(max(0, q.After), max(1, min(q.Limit, maxPage)), q.lower(), page.take())
		a.Nodes = page.Nodes
	case askGroups:
		a.Groups, a.Count = h.groups()
	case askExplain:
		if p, err := h.lookup(q.To); err == nil {
			rule, match := h.decide(q.From, q.Rule, p, q.Event)
			a.Verdict = &Explanation{Delivered: rule == RuleListens, Rule: rule, Match: match}
		}
	case askEmitter:
		if p, err := h.lookup(q.From); err == nil {
			a.Verdict = &Explanation{Rule: h.mayEmit(p, q.Event)}
		}
	}
	return a
}

func (c *cluster) receiveAnswer(from string, a *control) {
	c.mu.Lock()
	if c.round != nil && c.round.rid == a.RID {
		c.answered(from)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	if q := c.take(a.RID, from); q != nil {
		q.answer(a)
	}
}
