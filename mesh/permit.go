package mesh

import (
	"fmt"
)

// Action is an action that Options.Permit permits or rejects.
type Action uint8

// The actions of a peer.
const (
	ActionEmit   Action = 1 << iota // the hub accepts the event from the peer
	ActionListen                    // the hub sends the event to the peer
)

func (a Action) String() string {
	switch a {
	case ActionEmit:
		return "emit"
	case ActionListen:
		return "listen"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// PeerInfo describes a peer of a hub for Options.Permit. It prints and logs without the credentials.
type PeerInfo struct {
	ID string
	// User, Password and Token are the credentials that Authorize has accepted. Without Authorize they are empty.
	Credentials
}

// String returns the ID, the name and the address.
func (p PeerInfo) String() string {
	return fmt.Sprintf("{id: %s, name: %q, remote: %s}", p.ID, p.Name, p.RemoteAddr)
}

// Format writes String for every verb.
func (p PeerInfo) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(p.String())) }

// MarshalText returns String, so that no encoder writes the credentials.
func (p PeerInfo) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// ForgetPermits makes a hub forget all decisions of Options.Permit. The hub then calls Permit again for each peer and
// event. Call it when the rules behind Permit have changed. Otherwise a hub forgets the decisions about a peer only
// when that peer sends other credentials. At a client, ForgetPermits does nothing.
func (n *Node) ForgetPermits() {
	if h := n.hub(); h != nil {
		h.ForgetPermits()
	}
}
