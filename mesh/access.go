package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
)

// Credentials are the data by which a peer identifies itself to a hub. They print and log without user, password and
// token.
type Credentials struct {
	User, Password string // empty if the peer gave none
	// Token is the Bearer token of the header Authorization in the request that opened the session. Without that
	// header, it is the query parameter token of the request. The parameter is for browsers, which cannot set the
	// header for a WebSocket, but many servers log queries.
	Token      string
	Name       string // the peer's Options.Name; empty for peers that are not of this package
	RemoteAddr string // the address of the peer, or of a proxy in front of the hub
}

// String omits user, password and token.
func (c Credentials) String() string {
	return fmt.Sprintf("{name: %q, remote: %s}", c.Name, c.RemoteAddr)
}

// Format writes String for every verb.
func (c Credentials) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(c.String())) }

// LogValue returns String, so that no log handler sees the fields.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns String, so that encoders also omit user, password and token.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// BearerAuth returns an Authorize function that admits peers with this token. It compares in constant time.
func BearerAuth(token string) func(context.Context, Credentials) error {
	want := sha256.Sum256([]byte(token))
	return func(_ context.Context, c Credentials) error {
		got := sha256.Sum256([]byte(c.Token))
		if c.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}

// header returns the header of each request of a client, or nil.
func (o *Options) header() http.Header {
	if o.Token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + o.Token}}
}

// BasicAuth returns an Authorize function that admits peers with this user and password. It compares in constant time.
func BasicAuth(user, password string) func(context.Context, Credentials) error {
	// Digests have equal lengths. A comparison of the strings would reveal their lengths.
	wantUser, wantPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return func(_ context.Context, c Credentials) error {
		gotUser, gotPassword := sha256.Sum256([]byte(c.User)), sha256.Sum256([]byte(c.Password))
		if subtle.ConstantTimeCompare(wantUser[:], gotUser[:])&subtle.ConstantTimeCompare(wantPassword[:], gotPassword[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}

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

// LogValue returns String, so that no log handler sees the fields.
func (p PeerInfo) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, so that no encoder writes the credentials.
func (p PeerInfo) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// ForgetPermits makes a hub forget all decisions of Options.Permit. The hub then calls Permit again for each peer and
// event. Call it when the rules behind Permit have changed. Without a call, a hub keeps a decision until the peer sends
// other credentials, or until it needs the room for newer decisions about that peer. At a client, ForgetPermits does
// nothing.
func (n *Node) ForgetPermits() {
	if h := n.hub(); h != nil {
		h.ForgetPermits()
	}
}

// Rate limits the messages that a peer may send to a hub. The hub drops the events beyond it, and counts them in
// Stats.RateLimited. It delays all other messages beyond it (tables, queries and malformed messages), and with them the
// messages that the peer sent after them.
type Rate struct {
	Events int // events per second. Default: no limit
	Bytes  int // bytes of packets per second. Default: no limit
	// EventBurst and ByteBurst are the events and the bytes that may come at once after a pause. Default: the events
	// and the bytes of one second, and at least Options.MaxMessage bytes. An event whose packet is larger than
	// ByteBurst is always dropped.
	EventBurst, ByteBurst int
}
