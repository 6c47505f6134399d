package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// patterns connects members with 64 patterns each. The patterns match events of many parts in many ways.
var patterns = attack{
	name:  "patterns",
	short: "100 members with 64 patterns of 16 parts emit an event of 32 parts a second each",
	act: func(ctx context.Context, t *target) error {
		return matching(ctx, t, t.of(100, 10), func(table protocol.EventTable, p string) bool {
			table[p] = true
			return len(table) < 64
		})
	},
}

// patternsAtLimit connects members whose tables take as many steps to search as a hub accepts.
var patternsAtLimit = attack{
	name:  "patterns-at-limit",
	short: "400 members with as many such patterns as a hub accepts",
	act: func(ctx context.Context, t *target) error {
		return matching(ctx, t, t.of(400, 40), func(table protocol.EventTable, p string) bool {
			table[p] = true
			if table.Steps() > protocol.MaxTableSteps {
				delete(table, p)
				return false
			}
			return true
		})
	},
}

// matching connects members and makes each emit an event a second. more adds a pattern to a table and reports whether
// the table has room for more. An honest member has names of the same length without asterisks, and the pattern `**`.
func matching(ctx context.Context, t *target, members int, more func(protocol.EventTable, string) bool) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	var socks []*engineio.Socket
	defer func() {
		for _, s := range socks {
			_ = s.Close()
		}
	}()
	for range members {
		table := protocol.EventTable{}
		for p := random(rnd, "a", "*"); more(table, "mesh::**"+p); p = random(rnd, "a", "*") {
		}
		if t.honest {
			like := protocol.EventTable{"mesh::**": true}
			for range len(table) - 1 {
				like["mesh::no"+random(rnd, "a", "b")] = true
			}
			table = like
		}
		s, err := engineio.Dial(ctx, "http://"+t.addr, &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}})
		if err != nil {
			return err
		}
		socks = append(socks, s)
		go func() {
			for {
				if _, err := s.Read(ctx); err != nil {
					return
				}
			}
		}()
		handshake := protocol.Packet{Event: protocol.NameHandshake, EventTable: table.AppendTo(nil), Headers: protocol.Headers{Auth: new(protocol.Auth)}}
		if err := s.Write(ctx, engineio.Text(string(protocol.AppendPacket(nil, &handshake, true)))); err != nil {
			return err
		}
	}
	t.ready()
	event := fmt.Sprintf(`{"event":%q}`, strings.Repeat("a::", protocol.MaxParts-1)+"a")
	tick := time.NewTicker(time.Second / time.Duration(members))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			if err := socks[i%members].Write(ctx, engineio.Text(event)); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// random returns 15 parts. Each part is one or other, at random.
func random(rnd *rand.Rand, one, other string) string {
	var b strings.Builder
	for range 15 {
		b.WriteString("::" + [...]string{one, other}[rnd.IntN(2)])
	}
	return b.String()
}
