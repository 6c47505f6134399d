package main

import (
	"encoding/json"
	"io"
	"slices"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// line is how an event is printed.
type line struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	From    string          `json:"from"`
}

// printEvents prints what the node hears, each event once, however many of the patterns it matches. It calls printed
// after each, with what the writer said.
func printEvents(n *mesh.Node, patterns []string, out io.Writer, printed func(error)) {
	enc := json.NewEncoder(out) // it also brings a payload of several lines into one
	enc.SetEscapeHTML(false)
	for i, pattern := range patterns {
		earlier := patterns[:i]
		n.On(pattern, func(e mesh.Event) {
			if !slices.ContainsFunc(earlier, func(p string) bool { return protocol.Match(p, e.Name) }) {
				printed(enc.Encode(line{Event: e.Name, Payload: e.Payload, From: e.From}))
			}
		})
	}
}
