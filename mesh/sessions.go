package mesh

import "github.com/bigcompany/mesh/engineio"

// Session is one connection of a node at one moment.
type Session struct {
	Transport engineio.Transport
	Revision  engineio.Revision
	Queued    int // bytes that wait to be written to it
}

// Sessions returns a hub's connections with its peers, those included that were not admitted, or a client's with its hub,
// in no order. It looks at each for a moment: ask for it now and then, not for each event.
func (n *Node) Sessions() []Session {
	sockets := n.link.sockets()
	all := make([]Session, len(sockets))
	for i, s := range sockets {
		all[i] = Session{Transport: s.Transport(), Revision: s.Revision(), Queued: s.Queued()}
	}
	return all
}

func (h *hub) sockets() []*engineio.Socket { return h.server.Sockets() }

func (c *client) sockets() []*engineio.Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.hub != nil:
		return c.hub.sockets()
	case c.conn == nil:
		return nil
	}
	return []*engineio.Socket{c.conn.sock}
}
