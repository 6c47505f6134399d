package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bigcompany/mesh/interop"
)

const (
	// briefStop bounds the brief stops of a hub. After a brief stop the other hubs normally still know the hub.
	briefStop = 2 * time.Second
	// drainTime is the time without a delivery after which the run ends.
	drainTime = time.Second
	maxDrain  = 30 * time.Second
	// rejoinPause is the time between two checks whether the hubs know each other again.
	rejoinPause = 100 * time.Millisecond
)

// run starts the mesh and the clients, causes the faults, and waits until no more events come.
func (c *check) run(ctx context.Context) (*ledger, error) {
	nats := ""
	if c.mode == throughNATS {
		var err error
		if nats, err = interop.BuildNATS(); err != nil {
			return nil, err
		}
	}
	hubs, stop, err := startHubs(ctx, c.mode, c.hub, nats, c.logs)
	if err != nil {
		return nil, err
	}
	defer stop()
	l := newLedger(c.clients)
	living, end := context.WithCancel(ctx)
	emitting, hush := context.WithCancel(living)
	defer hush()
	var clients, faults sync.WaitGroup
	var proxies [][]*proxy
	defer func() {
		end()
		clients.Wait()
		for _, own := range proxies {
			for _, p := range own {
				p.close()
			}
		}
	}()
	for i := range c.clients {
		own := make([]*proxy, 0, len(hubs))
		for _, h := range hubs {
			p, err := newProxy(ctx, h.addr)
			if err != nil {
				return nil, err
			}
			own = append(own, p)
		}
		proxies = append(proxies, own)
		clients.Go(func() { newClient(i, i%3 == 2, own, l, c.every).run(living, emitting) })
	}
	sleep(ctx, time.Second)
	var stopping sync.Mutex // one hub at a time
	for i := range c.faults {
		if ctx.Err() != nil {
			break
		}
		victims := proxies[rand.IntN(len(proxies))]
		faults.Go(func() { c.fault(i, l, hubs, victims, &stopping) })
		sleep(ctx, c.pause)
	}
	faults.Wait()
	sleep(ctx, time.Second)
	hush()
	for began, before := time.Now(), -1; time.Since(began) < maxDrain && ctx.Err() == nil && before != l.received(); {
		before = l.received()
		sleep(ctx, drainTime)
	}
	return l, ctx.Err()
}

// fault causes fault number i. The kinds of faults take turns.
func (c *check) fault(i int, l *ledger, hubs []*hub, victims []*proxy, stopping *sync.Mutex) {
	switch {
	case i%20 == 10 && stopping.TryLock():
		defer stopping.Unlock()
		d := time.Second + rand.N(briefStop-time.Second)
		if i%40 == 10 {
			d = c.stop
		}
		from := time.Now()
		hubs[rand.IntN(len(hubs))].pause(d)
		if d > briefStop || !allMet(hubs) { // on a busy machine a brief stop may be long enough
			for began := time.Now(); time.Since(began) < maxDrain && !allMet(hubs); {
				time.Sleep(rejoinPause)
			}
			l.stopped(from, time.Now())
		}
	case i%3 == 0:
		for _, p := range victims {
			p.reset()
		}
	default:
		keep, delay := 50*time.Millisecond+rand.N(300*time.Millisecond), c.tail/30+rand.N(c.tail*29/30)
		var all sync.WaitGroup
		for _, p := range victims {
			all.Go(func() { p.late(keep, delay) })
		}
		all.Wait()
	}
}

// allMet reports whether every hub knows all others.
func allMet(hubs []*hub) bool {
	return !slices.ContainsFunc(hubs, func(h *hub) bool { return !h.knowsOthers(context.Background(), len(hubs)-1) })
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
