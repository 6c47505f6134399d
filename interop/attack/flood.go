package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// flood emits events at full speed to which 11 bystanders subscribe. The bystanders do not understand the payload,
// which is no object, and drop it. An honest client emits 4 MB a second, which they can read.
var flood = attack{
	name:  "flood",
	short: "one connection emits an event of 1 KB to all bystanders at full speed",
	act: func(ctx context.Context, t *target) error {
		c, err := dialPlain(ctx, t.addr)
		if err != nil {
			return err
		}
		c.closeAt(ctx)
		go c.answer()
		row := slices.Repeat([]string{`4{"event":"` + eventOf(0) + `","payload":"` + strings.Repeat("x", 1000) + `"}`}, 40)
		t.ready()
		if t.honest {
			return every(ctx, 10*time.Millisecond, func() error { return c.write(row...) })
		}
		for ctx.Err() == nil {
			if err := c.write(row...); err != nil {
				return err
			}
		}
		return nil
	},
}
