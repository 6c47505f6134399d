package mesh

import "github.com/bigcompany/mesh/engineio"

// Session is the state of a connection of a node at one moment.
type Session struct {
	Transport engineio.Transport
	Revision  engineio.Revision
	Queued    int // bytes that wait to be written
}

// Sessions returns a hub's connections with its peers, including peers that are not admitted, or a client's connection
// with its hub. The order is undefined. Sessions locks each connection briefly: call it occasionally, not for each
// event.
func (n *Node) Sessions() []Session {
	sockets := n.role().Sockets()
	all := make([]Session, len(sockets))
	for i, s := range sockets {
		all[i] = Session{Transport: s.Transport(), Revision: s.Revision(), Queued: s.Queued()}
	}
	return all
}
