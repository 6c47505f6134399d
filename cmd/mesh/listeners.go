package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// line is the form in which an event is printed.
type line struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	From    string          `json:"from"`
}

// printer prints the events that a node receives. It prints each event once, however many patterns the event matches.
type printer struct {
	out     io.Writer
	printed func(e mesh.Event, err error) // called after each event, with the writer's error

	mu     sync.Mutex
	active []printed
}

type printed struct {
	pattern string
	off     func()
}

// on prints the events that match a pattern from now on.
func (p *printer) on(n *mesh.Node, pattern string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.active, func(a printed) bool { return a.pattern == pattern }) {
		return
	}
	off := n.On(pattern, func(e mesh.Event) {
		if p.prints(pattern, e.Name) {
			p.printed(e, p.print(e))
		}
	})
	p.active = append(p.active, printed{pattern, off})
}

// off undoes on. It returns false if there is nothing to undo.
func (p *printer) off(pattern string) bool {
	p.mu.Lock()
	i := slices.IndexFunc(p.active, func(a printed) bool { return a.pattern == pattern })
	if i < 0 {
		p.mu.Unlock()
		return false
	}
	off := p.active[i].off
	p.active = slices.Delete(p.active, i, i+1)
	p.mu.Unlock()
	off()
	return true
}

// patterns returns the patterns whose events are printed, the oldest first.
func (p *printer) patterns() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.active {
		all = append(all, a.pattern)
	}
	return all
}

// prints reports whether this pattern prints the event. Only the oldest matching pattern does.
func (p *printer) prints(pattern, event string) bool {
	for _, active := range p.patterns() {
		if protocol.Match(active, event) {
			return active == pattern
		}
	}
	return false
}

func (p *printer) print(e mesh.Event) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // it also puts a payload of several lines on one line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line{Event: e.Name, Payload: e.Payload, From: e.From}); err != nil {
		return err
	}
	_, err := p.out.Write(escape(b.Bytes()))
	return err
}
