package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// bufferBudget opens polling sessions that subscribe and never poll, and emits 900 KB to each of them: 540 MB if the
// hub counts an event once for each session. Honest clients poll.
var bufferBudget = attack{
	name:  "bufferbudget",
	short: "600 polling sessions listen and never poll, and 900 KB wait for each",
	large: true, // a large event takes memory from the budget
	act: func(ctx context.Context, t *target) error {
		sessions := t.of(600, 40)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: sessions}}
		defer client.CloseIdleConnections()
		var polling sync.WaitGroup
		defer polling.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for range sessions {
			p, err := openPoller(ctx, client, t.addr, "attack")
			if err != nil {
				return err
			}
			if t.honest {
				polling.Go(func() { p.pollOn(ctx) })
			}
		}
		row := slices.Repeat([]string{`4{"event":"attack","payload":"` + strings.Repeat("x", 5000) + `"}`}, 6)
		for range 30 { // 900 KB together, and each emits as little as an honest client
			c, err := dialPlain(ctx, t.addr)
			if err != nil {
				return err
			}
			c.closeAt(ctx)
			go c.answer()
			if err := c.write(row...); err != nil {
				return err
			}
		}
		t.ready()
		<-ctx.Done()
		return nil
	},
}
