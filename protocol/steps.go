package protocol

import (
	"slices"
	"strings"
)

// Steps bounds the work that the patterns of the table add to the routing of one event, for any event. A hub rejects a
// table with more than MaxTableSteps.
//
// The patterns form a tree with a branch for each part. For one event, a hub visits a branch at most once, however many
// ways lead to it. One step is a visit, or a look-up of a literal part after a `**`. Of the literal parts that follow
// one branch, an event matches at most one. After a `**` it matches at most one for each of its parts, so at most
// MaxParts. So `device::*::1`, `device::*::2` and so on count as one pattern, and `**::1`, `**::2` and so on as at most
// MaxParts patterns. Names without an asterisk do not count.
func (t EventTable) Steps() int {
	var patterns [][]string
	for key, remote := range t {
		name := TableName(key)
		if !remote || !strings.Contains(name, "*") || checkListen(name) != nil || key == name && t[tablePrefix+name] {
			continue
		}
		patterns = append(patterns, strings.Split(name, delimiter))
	}
	if len(patterns) == 0 {
		return 0
	}
	slices.SortFunc(patterns, slices.Compare)
	return steps(patterns, 0, 1)
}

// steps returns the steps of a branch: the patterns with the same first depth parts. At most taken of the literal parts
// that follow can match at once. The patterns are sorted.
func steps(patterns [][]string, depth, taken int) int {
	total := 1
	var literals []int // the steps of the branches of literal parts
	for len(patterns) > 0 {
		if len(patterns[0]) == depth { // the pattern ends here
			patterns = patterns[1:]
			continue
		}
		part := patterns[0][depth]
		n := 1
		for n < len(patterns) && patterns[n][depth] == part {
			n++
		}
		switch part {
		case "*":
			total += steps(patterns[:n], depth+1, taken)
		case "**":
			total += steps(patterns[:n], depth+1, MaxParts)
		default:
			literals = append(literals, steps(patterns[:n], depth+1, taken))
		}
		patterns = patterns[n:]
	}
	if taken > 1 { // the hub looks the literal parts up
		total += min(len(literals), taken)
	}
	slices.Sort(literals)
	for _, n := range literals[max(0, len(literals)-taken):] {
		total += n
	}
	return total
}
