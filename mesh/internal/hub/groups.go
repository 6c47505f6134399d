package hub

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// maxScan bounds the peers that a hub examines for one reply to a search.
const maxScan = 8192

// maxGroups bounds the groups of a reply. The nodes of smaller groups are counted together.
const maxGroups = 48

// groups returns the groups of this hub's clients, the largest first, and the number of clients outside these groups.
func (h *Hub) groups() (groups []wire.NodeGroup, ungrouped int) {
	r := &h.roster
	byKey := make(map[string]*wire.NodeGroup)
	shapes := make(map[string]string) // of each name and pattern; most nodes have the same ones
	members := make([]peerSummary, 0, maxScan)
	for next := 0; next >= 0; {
		next, members = r.summarize(next, members[:0])
		for i := range members {
			members[i].join(byKey, shapes, h.conf.ID)
		}
	}
	for _, g := range byKey {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b wire.NodeGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	for len(groups) > maxGroups {
		ungrouped += groups[len(groups)-1].Count
		groups = groups[:len(groups)-1]
	}
	return groups, ungrouped
}

// peerSummary is a copy of a peer's fields that decide about its group.
type peerSummary struct {
	id, name                   string
	interests                  []string
	revision                   engineio.Revision
	negotiated, browser, muted bool
}

// summarize appends the peers in at most maxScan slots, from the slot with the index from. It returns the next slot, or
// -1 at the end. It holds the roster's lock for one such range at a time.
func (r *roster) summarize(from int, all []peerSummary) (next int, _ []peerSummary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := min(from+maxScan, len(r.slots))
	for _, p := range r.slots[min(from, end):end] {
		if r.lists(p) {
			all = append(all, peerSummary{p.id, p.name, p.interests, p.sock.Revision(), p.negotiated, p.browser, !p.admitted})
		}
	}
	if end == len(r.slots) {
		return -1, all
	}
	return end, all
}

// join adds a peer to its group.
func (p *peerSummary) join(groups map[string]*wire.NodeGroup, shapes map[string]string, hub string) {
	var info protocol.NodeInfo
	showInterests(&info, p.interests)
	for i, name := range info.Interests {
		shape, ok := shapes[name]
		if !ok {
			shape = shapeOf(name)
			shapes[name] = shape
		}
		info.Interests[i] = shape
	}
	slices.Sort(info.Interests)
	info.Interests = slices.Compact(info.Interests)
	kind := []byte{byte(p.revision), bit(p.negotiated), bit(p.browser), bit(p.muted), bit(info.More > 0)}
	key := string(kind) + strings.Join(info.Interests, "\x00")
	g := groups[key]
	if g == nil {
		g = &wire.NodeGroup{
			Hub: hub, ID: p.id, Name: p.name, Revision: int(p.revision), Negotiated: p.negotiated, Browser: p.browser, Muted: p.muted,
			Interests: info.Interests, More: info.More,
		}
		groups[key] = g
	}
	g.Count++
	g.Name = g.Name[:commonPrefix(g.Name, p.name)]
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// commonPrefix returns the length of the common prefix of two texts, in bytes of whole characters.
func commonPrefix(a, b string) int {
	for i, c := range a {
		if !strings.HasPrefix(b[min(i, len(b)):], string(c)) {
			return i
		}
	}
	return len(a)
}

// shapeOf returns a name with # in place of each number, and of each run of at least 8 hexadecimal digits and hyphens
// that contains a digit, such as an ID.
func shapeOf(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		end := i
		digits := false
		for end < len(name) && isHexOrHyphen(name[end]) && name[i] != '-' {
			digits = digits || isDigit(name[end])
			end++
		}
		switch {
		case digits && end-i >= 8:
			b.WriteByte('#')
			i = end
		case isDigit(name[i]):
			for i < len(name) && isDigit(name[i]) {
				i++
			}
			b.WriteByte('#')
		default:
			b.WriteByte(name[i])
			i++
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHexOrHyphen(c byte) bool {
	return isDigit(c) || c == '-' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// answerGroups replies to a question for groups. With number 0 the reply has the groups of this hub. Otherwise it has
// the groups of the other hub with that number, or of the next one if that hub is gone.
func (p *peer) answerGroups(a wire.NodesReply, number int) {
	h := p.hub
	if number == 0 {
		a.Groups, a.Ungrouped = h.groups()
		a.Next = h.firstPage(1)
		p.chargeQuery(a.Total / queryScan)
		p.reply(protocol.NameNodes, a)
		return
	}
	id, found := h.others.After(number)
	if found == 0 {
		p.reply(protocol.NameNodes, a)
		return
	}
	answered := make(chan struct{})
	h.others.AskGroups(id, func(groups []wire.NodeGroup, ungrouped int) {
		defer close(answered)
		a.Next = h.firstPage(found + 1)
		a.Groups, a.Ungrouped = groups, ungrouped
		p.reply(protocol.NameNodes, a)
	})
	<-answered
	p.chargeQuery(a.Total / queryScan)
}
