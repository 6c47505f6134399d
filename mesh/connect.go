package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Connect connects to a hub and returns when the hub has replied. ctx bounds only this start. Connect does not retry a
// failed attempt. The error wraps a *DialError. It wraps an *AuthError if the hub rejects the node,
// otherwise the error of engineio.Dial. Once connected, the node reconnects until it is closed. The pauses between attempts grow to 5 s. They
// grow with each attempt that fails, and with each connection that ends within 1 s or whose hub asks the node to move
// within 1 s. The node never becomes a hub.
//
// Of several addresses Connect picks one at random. If no hub replies there, it tries the next one. When the hub is
// lost, the node reconnects to one of the other addresses in the same way, and tries the address of the lost hub last.
// A hub that is about to close asks the node to move before anything is lost: see Node.Shutdown.
func Connect(ctx context.Context, opts *Options) (*Node, error) {
	o, addrs, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return connect(ctx, o, addrs, nil)
}

// connect makes a client of a hub at the first of the addresses where a hub replies. If home is not nil, the node may
// become the hub there, and the first address leads there.
func connect(ctx context.Context, o Options, addrs []address, home *address) (*Node, error) {
	key := wire.NewID()
	n := newNode(o, protocol.ID(key), addrs[0])
	conf := uplink.Config{
		ID: n.id, Key: key, Name: o.Name, User: o.User, Password: o.Password, Local: local{n}, Counters: &n.counters, Logger: o.Logger,
		Transports: o.Transports, HTTPClient: o.HTTPClient, Header: o.header(), Transport: o.transport(),
		MaxMessage: o.MaxMessage, QueueLimit: o.QueueLimit, OfflineLimit: o.OfflineLimit, HoldLimit: o.CallbackLimit,
	}
	for _, addr := range addrs {
		conf.Addrs = append(conf.Addrs, addr.target())
	}
	if home != nil {
		conf.Own = conf.Addrs[0]
		conf.TakeOver = func(ctx context.Context, own uplink.Addr) (uplink.Successor, uplink.Addr) {
			return n.takeOver(ctx, *home, own)
		}
	}
	n.uplink = uplink.New(conf)
	n.setRole(clientRole{n.uplink, n})
	var failure error
	for _, addr := range addrs {
		err := n.attempt(ctx, addr)
		if err == nil {
			return n, nil
		}
		if failure == nil || errors.As(err, new(*AuthError)) {
			failure = err
		} else {
			failure = fmt.Errorf("%w; %w", failure, err)
		}
		if ctx.Err() != nil || errors.As(err, new(*AuthError)) {
			break
		}
	}
	_ = n.Close()
	return nil, failure
}

// DialError is the error of Connect and Start for one address at which no hub admitted the node. The error for several
// addresses wraps one DialError for each.
type DialError struct {
	Addr string // host:port
	Err  error
}

func (e *DialError) Error() string { return "mesh: connect to " + e.Addr + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *DialError) Unwrap() error { return e.Err }

// attempt connects to an address, which is the next one of the uplink.
func (n *Node) attempt(ctx context.Context, addr address) error {
	err := n.uplink.Connect(ctx)
	if err == nil {
		return nil
	}
	err = publicError(err)
	if said := greeting(ctx, &n.opts, addr, err); said != "" {
		err = fmt.Errorf("no hub, its response begins with %q: %w", said, err)
	}
	return &DialError{Addr: addr.String(), Err: err}
}

// publicError returns an error of the uplink as this package exports it.
func publicError(err error) error {
	if r, ok := errors.AsType[*uplink.Rejection](err); ok {
		return &AuthError{Message: r.Message}
	}
	return err
}

const (
	greetingTimeout = 300 * time.Millisecond
	maxGreeting     = 60 // bytes
)

// greeting returns the first bytes that the server at addr sends by itself, when they can explain why connecting
// failed. Mail, SSH and database servers speak first, and the error of net/http is then hard to understand.
func greeting(ctx context.Context, o *Options, addr address, failure error) string {
	var answered *engineio.HandshakeError
	var refused *AuthError
	if addr.scheme != "http" || o.HTTPClient != nil || ctx.Err() != nil || isRefused(failure) || isEOF(failure) ||
		errors.As(failure, &answered) || errors.As(failure, &refused) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	said := make([]byte, maxGreeting)
	n, _ := conn.Read(said) // the bytes that have arrived are the greeting
	return strings.TrimSpace(string(said[:n]))
}

// clientRole is the role of a node that is connected to a hub, or looks for one.
type clientRole struct {
	*uplink.Uplink
	node *Node
}

func (r clientRole) asHub() *hub.Hub { return nil }

func (r clientRole) hubInfo() (HubInfo, bool) {
	h, ok := r.Hub()
	return HubInfo(h), ok
}

// Explain asks the hub. A Node.js hub does not answer, so the node applies that hub's rules itself.
func (r clientRole) Explain(ctx context.Context, from, to, event string) (Explanation, error) {
	if h, ok := r.Hub(); !ok || !h.Legacy || to != r.node.id || from != "" {
		return r.Uplink.Explain(ctx, from, to, event)
	}
	match := wire.Matching(r.node.interests(), event)
	rule := protocol.RuleListens
	switch {
	case !protocol.Relayed(event):
		rule, match = protocol.RuleReserved, ""
	case match == "":
		rule = protocol.RuleNoListener
	case match != event:
		rule = protocol.RuleLegacyHub
	}
	return Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}, nil
}
