package hub

// hasSubscriber reports whether any node here gets an event: a peer other than the sender, or the hub itself if there
// is a sender.
func (h *Hub) hasSubscriber(event string, sender *peer) bool {
	if sender != nil && h.conf.Local.Listens(event) {
		return true
	}
	r := h.routings.Get().(*routing)
	defer h.recycle(r)
	defer r.reset()
	from := h.conf.ID
	if sender != nil {
		from = sender.id
	}
	e := emissionOf(event, from)
	h.interest.Find(event, &r.search)
	for i, l := range r.search.Lists {
		e = e.matchedBy(r.search.ByPattern(i))
		for p := range l.All() {
			if p.decide(&e) == deliver {
				return true
			}
		}
	}
	return false
}
