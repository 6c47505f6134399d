package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"time"
)

// client is a node that emits numbered events and subscribes to the events of all other clients. It emits on one
// connection at a time. When the connection breaks, it opens another one, perhaps to another hub.
type client struct {
	number  int
	key     string
	polls   bool
	proxies []*proxy // one to each hub
	ledger  *ledger
	every   time.Duration // between two events

	conns int // number of connections so far
	at    int // index of the hub
}

const (
	connectTimeout = 15 * time.Second
	// barrierPause is the time between two barriers. A barrier is this client's form of Flush.
	barrierPause = 150 * time.Millisecond
	names        = 4 // number of event names
)

func newClient(number int, polls bool, proxies []*proxy, l *ledger, every time.Duration) *client {
	var key [16]byte
	_, _ = rand.Read(key[:])
	return &client{number: number, key: hex.EncodeToString(key[:]), polls: polls, proxies: proxies, ledger: l, every: every, at: number % len(proxies)}
}

// run emits until emitting is done, and receives until ctx is done.
func (c *client) run(ctx, emitting context.Context) {
	for ctx.Err() == nil {
		s, err := c.connect(ctx)
		if err == nil {
			err = c.live(ctx, emitting, s)
		}
		if ctx.Err() == nil {
			c.ledger.broke(c.number, err)
			if len(c.proxies) > 1 && mrand.IntN(3) > 0 { // otherwise it returns to the same hub
				c.at = (c.at + 1 + mrand.IntN(len(c.proxies)-1)) % len(c.proxies)
			}
			time.Sleep(mrand.N(100 * time.Millisecond))
		}
	}
}

var (
	errIntroduction = errors.New("the hub did not answer the offer")
	errBarrier      = errors.New("a barrier was not answered in time")
)

// connect opens a session and introduces the client.
func (c *client) connect(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := dialWebSocket
	if c.polls {
		dial = dialPolling
	}
	s, err := dial(ctx, c.proxies[c.at].addr())
	if err != nil {
		return nil, err
	}
	c.conns++
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	offer := fmt.Sprintf(`4{"event":"handshake","payload":{},"eventTable":{"mesh::check::*":{"remote":true}},`+
		`"headers":{"auth":{},"mesh":{"v":1,"key":"%s","name":"client %d","conn":%d}}}`, c.key, c.number, c.conns)
	if err = s.send(offer, "2"); err == nil {
		for hello := false; ; {
			var packet string
			if packet, err = s.recv(); err != nil {
				break
			}
			hello = hello || strings.HasPrefix(packet, `4{"event":"$mesh.hello"`)
			if packet == "3" {
				if !hello {
					err = errIntroduction
				}
				break
			}
			if strings.HasPrefix(packet, `4{"event":"check::`) { // the hub uses the client's table before the barrier is passed
				c.take(packet)
			}
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// live emits and listens on a session until it breaks, or until ctx ends.
func (c *client) live(ctx, emitting context.Context, s session) error {
	c.ledger.listens(c.number, c.at)
	passed := make(chan struct{}, 1000)
	broken := make(chan error, 1)
	go func() {
		for {
			packet, err := s.recv()
			switch {
			case err != nil:
				broken <- err
				return
			case packet == "3":
				passed <- struct{}{}
			case packet == "1":
				broken <- errors.New("the hub closed the session")
				return
			default:
				c.take(packet)
			}
		}
	}()
	ended := false
	defer func() {
		s.close()
		if !ended {
			<-broken //nolint:errcheck // the reason does not matter
		}
	}()
	patience := time.Second + mrand.N(2*time.Second)
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	barrier := time.NewTicker(barrierPause)
	defer barrier.Stop()
	var waiting []int // the last number before each barrier
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			ended = true
			return err
		case <-tick.C:
			if emitting.Err() != nil {
				continue
			}
			n := c.ledger.emits(c.number, c.at)
			err := s.send(fmt.Sprintf(`4{"event":"check::%d","payload":{"e":%d,"s":%d},"n":%d}`, n%names, c.number, n, n))
			if err != nil {
				return err
			}
		case <-barrier.C:
			if len(waiting) > 0 {
				if time.Since(asked) > patience {
					return errBarrier
				}
				continue
			}
			waiting, asked = append(waiting, c.ledger.last(c.number)), time.Now()
			if err := s.send("2"); err != nil {
				return err
			}
		case <-passed:
			if len(waiting) > 0 {
				c.ledger.confirm(c.number, waiting[0])
				waiting = waiting[1:]
			}
		}
	}
}

// take reads one packet from the hub.
func (c *client) take(packet string) {
	var p struct {
		Event   string
		Payload struct{ E, S int }
	}
	if !strings.HasPrefix(packet, "4") || json.Unmarshal([]byte(packet[1:]), &p) != nil || !strings.HasPrefix(p.Event, "check::") {
		return
	}
	c.ledger.hears(c.number, p.Payload.E, p.Payload.S)
}
