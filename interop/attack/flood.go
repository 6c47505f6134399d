package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// flood emits an event at full speed. All bystanders but one subscribe to this event. The bystanders do not understand
// the payload, which is no object, and drop it. An honest client emits as many bytes a second as the hub has read from
// the attacker.
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
		event := `4{"event":"` + eventOf(0) + `","payload":"` + strings.Repeat("x", 1000) + `"}`
		t.ready()
		start, bytes := time.Now(), 0
		if t.honest {
			return every(ctx, time.Millisecond, func() error {
				due := int(t.rate*time.Since(start).Seconds()) - bytes
				bytes += due / len(event) * len(event)
				return c.write(slices.Repeat([]string{event}, due/len(event))...)
			})
		}
		row := slices.Repeat([]string{event}, 40)
		for ctx.Err() == nil && err == nil {
			if err = c.write(row...); err == nil {
				bytes += len(row) * len(event)
			}
		}
		t.report(float64(bytes) / time.Since(start).Seconds())
		return err
	},
}
