package hub

import (
	"github.com/bigcompany/mesh/protocol"
)

// heard reports whether any node here gets an event: a peer other than the sender, or the hub itself if there is a
// sender.
func (h *Hub) heard(event string, sender *peer) bool {
	if sender != nil && h.conf.Local.Listens(event) {
		return true
	}
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	defer r.reset()
	h.interest.Find(event, &r.search)
	for i, l := range r.search.Lists {
		byPattern := r.search.ByPattern(i)
		for p := range l.All() {
			if p == sender || byPattern && p.keepsSilent(event) || !p.negotiated && event == protocol.NameError {
				continue
			}
			if p.may(Listen, event) {
				return true
			}
		}
	}
	return false
}
