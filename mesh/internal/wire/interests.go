package wire

import "github.com/bigcompany/mesh/protocol"

// TablePrefix precedes the names in an event table, except the names of resources.
const TablePrefix = "mesh::"

// Matching returns the name or pattern that matches an event, preferably the name itself; "" if there is no match.
func Matching(interests []string, event string) string {
	match := ""
	for _, i := range interests {
		if i == event {
			return i
		}
		if match == "" && protocol.Match(i, event) {
			match = i
		}
	}
	return match
}
