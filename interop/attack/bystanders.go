package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

const (
	// A hub disconnects a subscriber that reads nothing for a second during a flood. On a busy machine twelve bystanders
	// of one process may wait that long for a processor, so there are fewer of them in a test.
	bystanderCount, smallBystanderCount = 12, 3

	emitEvery     = 50 * time.Millisecond // for each bystander
	largeEvery    = 20                    // one event of this number is large, if the attack has large
	largeSize     = 40 << 10              // bytes
	settleTimeout = 30 * time.Second      // for the last events to arrive
)

// bystanders are honest nodes. Each emits an event of its name every 50 ms and subscribes to the events of all others.
type bystanders struct {
	nodes       []*mesh.Node
	start       time.Time
	disconnects atomic.Int64
	emitted     atomic.Int64
	failed      atomic.Int64 // calls of Emit that returned an error

	mu        sync.Mutex
	recording bool
	times     []time.Duration
	heard     int64
}

// note is the payload of a bystander's event.
type note struct {
	At  time.Duration `json:"at"` // when it was emitted, since the start
	Pad string        `json:"pad"`
}

func connectBystanders(ctx context.Context, addr string, s scene) (*bystanders, error) {
	a, count := s.attack, bystanderCount
	if s.small {
		count = smallBystanderCount
	}
	b := &bystanders{start: time.Now()}
	for i := range count {
		n, err := mesh.Connect(ctx, &mesh.Options{Addr: addr, User: a.user, Password: a.password, Name: fmt.Sprintf("bystander-%d", i)})
		if err != nil {
			b.close()
			return nil, fmt.Errorf("bystander %d: %w", i, err)
		}
		b.nodes = append(b.nodes, n)
		n.OnState(func(s mesh.State) {
			if s.Status == mesh.Disconnected && s.Attempt == 0 {
				b.disconnects.Add(1)
			}
		})
		for other := range count {
			if other != i {
				n.On(eventOf(other), b.hear)
			}
		}
	}
	return b, b.flush(ctx)
}

func eventOf(bystander int) string { return fmt.Sprintf("bystander::%d", bystander) }

func (b *bystanders) hear(e mesh.Event) {
	now := time.Since(b.start)
	var n note
	if json.Unmarshal(e.Payload, &n) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard++
	if b.recording {
		b.times = append(b.times, now-n.At)
	}
}

func (b *bystanders) flush(ctx context.Context) error {
	for _, n := range b.nodes {
		if err := n.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// emit makes all bystanders emit until ctx is done.
func (b *bystanders) emit(ctx context.Context, large bool) {
	var wait sync.WaitGroup
	for i, n := range b.nodes {
		wait.Go(func() {
			tick := time.NewTicker(emitEvery)
			defer tick.Stop()
			for k := i; ; k++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				pad := 100
				if large && k%largeEvery == 0 {
					pad = largeSize
				}
				if err := n.Emit(eventOf(i), note{At: time.Since(b.start), Pad: strings.Repeat("x", pad)}); err != nil {
					b.failed.Add(1)
					continue
				}
				b.emitted.Add(1)
			}
		})
	}
	wait.Wait()
}

// record starts the recording of times.
func (b *bystanders) record() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recording = true
}

// settle waits until all events have arrived, for at most settleTimeout, and returns the number of missing events.
func (b *bystanders) settle(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	_ = b.flush(ctx) // events that have not arrived count below
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b.mu.Lock()
		missing := b.emitted.Load()*int64(len(b.nodes)-1) - b.heard
		b.mu.Unlock()
		if missing <= 0 {
			return missing
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return missing
		}
	}
}

// percentile returns the time within which p percent of the recorded events arrived.
func (b *bystanders) percentile(p int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.times) == 0 {
		return 0
	}
	slices.Sort(b.times)
	return b.times[(len(b.times)-1)*p/100]
}

func (b *bystanders) close() {
	for _, n := range b.nodes {
		_ = n.Close()
	}
}
