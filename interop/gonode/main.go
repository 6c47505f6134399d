// Command gonode runs a node of this project in a separate process, which a test may kill: gonode ADDR NAME EVERY. The
// node starts with mesh.Start and subscribes to "load". It emits a numbered "load" event once EVERY, until its standard
// input ends.
//
//	flush    flushes all events that were emitted before
//
// Events: ready; role {name}, at the start and when the node becomes a hub; flushed; load {result}, ten times a second,
// with the events that were emitted and received since the last one.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"sync"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

// Load is the payload of an event. Reports contain it too.
type Load struct {
	Src string `json:"src"`
	N   int    `json:"n"`
	T   int64  `json:"t"` // when it was emitted, in microseconds since 1970
}

type report struct {
	Event  string  `json:"event"`
	Name   string  `json:"name,omitempty"`
	Result *result `json:"result,omitempty"`
}

type result struct {
	Emitted, Heard []Load
}

// node is the node and the events for its next report.
type node struct {
	*mesh.Node
	name string
	out  chan report

	mu   sync.Mutex
	done result
}

const reportEvery = 100 * time.Millisecond

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: gonode ADDR NAME EVERY")
	}
	every, err := time.ParseDuration(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	n, err := mesh.Start(ctx, &mesh.Options{Addr: os.Args[1], Name: os.Args[2]})
	cancel()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	g := &node{Node: n, name: os.Args[2], out: make(chan report, 100)}
	go g.print()
	n.On("load", g.hear)
	role := n.Role()
	g.out <- report{Event: "role", Name: string(role)}
	n.OnState(func(s mesh.State) {
		if s.Role != role {
			role = s.Role
			g.out <- report{Event: "role", Name: string(role)}
		}
	})
	g.out <- report{Event: "ready"}
	go g.emit(every)
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		go g.flush()
	}
}

func (g *node) hear(e mesh.Event) {
	var l Load
	if err := e.Decode(&l); err != nil {
		log.Fatal(err)
	}
	if l.Src == g.name {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done.Heard = append(g.done.Heard, l)
}

// emit emits until the process ends. If Emit fails, emit tries the same number again later.
func (g *node) emit(every time.Duration) {
	n := 0
	for range time.Tick(every) {
		l := Load{Src: g.name, N: n, T: time.Now().UnixMicro()}
		if g.Emit("load", l) != nil {
			continue
		}
		n++
		g.mu.Lock()
		g.done.Emitted = append(g.done.Emitted, l)
		g.mu.Unlock()
	}
}

// flush returns when the hub has handled all emitted events that were not lost. Then it reports flushed.
func (g *node) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	err := g.Flush(ctx)
	for errors.Is(err, mesh.ErrUnconfirmed) {
		err = g.Flush(ctx)
	}
	cancel()
	if err != nil {
		log.Fatal(err)
	}
	g.out <- report{Event: "flushed"}
}

// print writes the reports.
func (g *node) print() {
	enc := json.NewEncoder(os.Stdout)
	tick := time.Tick(reportEvery)
	for {
		var r report
		select {
		case r = <-g.out:
		case <-tick:
			g.mu.Lock()
			done := g.done
			g.done = result{}
			g.mu.Unlock()
			r = report{Event: "load", Result: &done}
		}
		if err := enc.Encode(r); err != nil {
			log.Fatal(err)
		}
	}
}
