package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/protocol"
)

// prepare checks the options and sets the defaults.
func prepare(opts *Options) (Options, []address, error) {
	o := opts.withDefaults()
	if len(o.Name) > protocol.MaxName || !utf8.ValidString(o.Name) {
		return o, nil, optionError("Name", "must be UTF-8 of at most %d bytes", protocol.MaxName)
	}
	for _, c := range []struct{ name, value string }{{"User", o.User}, {"Password", o.Password}} {
		if len(c.value) > protocol.MaxCredential {
			return o, nil, optionError(c.name, "must have at most %d bytes", protocol.MaxCredential)
		}
	}
	if err := hub.CheckToken(o.Token); err != nil {
		return o, nil, &OptionError{"Token", err}
	}
	if err := o.checkValues(); err != nil {
		return o, nil, err
	}
	for _, origin := range o.AllowedOrigins {
		if err := engineio.CheckOrigin(origin); err != nil {
			return o, nil, optionError("AllowedOrigins", "%s", strings.TrimPrefix(err.Error(), "engineio: AllowedOrigins: ")) // without the secrets of a URL
		}
	}
	if err := o.trust(); err != nil {
		return o, nil, err
	}
	addrs, err := parseAddrs(o.Addr)
	return o, addrs, err
}

// checkValues returns an error if an option has a value that is invalid for every node.
func (o *Options) checkValues() error {
	for _, t := range o.Transports {
		if t != engineio.Polling && t != engineio.WebSocket {
			return optionError("Transports", "a mesh has no transport %q; use engineio.Polling or engineio.WebSocket", t)
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"MaxMessage", int64(o.MaxMessage)}, {"QueueLimit", int64(o.QueueLimit)}, {"BufferLimit", o.BufferLimit},
		{"OfflineLimit", int64(o.OfflineLimit)}, {"CallbackLimit", int64(o.CallbackLimit)},
	} {
		if n.value < 0 {
			return optionError(n.name, "%d is negative; use a positive number of bytes, or 0 for the default", n.value)
		}
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{{"AuthTimeout", o.AuthTimeout}, {"MuteTimeout", o.MuteTimeout}} {
		if t.value < 0 {
			return optionError(t.name, "%v is negative; use a positive time, or 0 for the default", t.value)
		}
	}
	return nil
}

// negative returns an error if the value of an option is negative.
func negative(option string, value int) error {
	if value < 0 {
		return optionError(option, "%d is negative; use a positive number, or 0 for the default", value)
	}
	return nil
}

// prepareHub is like prepare, for a node that is or may become a hub.
func prepareHub(opts *Options) (Options, address, error) {
	o, addrs, err := prepareStart(opts)
	if err == nil && len(addrs) > 1 {
		err = &OptionError{"Addr", errSeveral}
	}
	if err != nil {
		return o, address{}, err
	}
	return o, addrs[0], nil
}

// prepareStart is like prepareHub, for a node that becomes a client if there is a hub already.
func prepareStart(opts *Options) (Options, []address, error) {
	o, addrs, err := prepare(opts)
	if err == nil {
		err = o.serveTLS(addrs)
	}
	if err == nil {
		err = cmp.Or(negative("ConnsPerAddr", o.ConnsPerAddr), negative("SessionsPerAddr", o.SessionsPerAddr))
	}
	if err == nil {
		if o.proxies, err = hub.ParseProxies(o.TrustedProxies); err != nil {
			err = &OptionError{"TrustedProxies", err}
		}
	}
	return o, addrs, err
}

// Listen starts a hub at Options.Addr. If the host has several addresses, as localhost often does, Listen binds all of
// them that this machine has. ctx bounds the start only. The error wraps the error of net.Listen.
func Listen(ctx context.Context, opts *Options) (*Node, error) {
	o, addr, err := prepareHub(opts)
	if err != nil {
		return nil, err
	}
	return listen(ctx, o, addr)
}

func listen(ctx context.Context, o Options, addr address) (*Node, error) {
	if addr.scheme == "https" && o.tls == nil {
		return nil, fmt.Errorf("mesh: listen on %s: %w", addr, errNoTLS)
	}
	listeners, err := bind(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("mesh: listen on %s: %w", addr, err)
	}
	if tcp, ok := listeners[0].Addr().(*net.TCPAddr); ok {
		addr.port = strconv.Itoa(tcp.Port)
	}
	n, h, err := newHubNode(ctx, o, addr)
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	n.setRole(hubRole{h, n})
	h.Serve(listeners)
	o.Logger.Info("mesh: listening", "addr", addr.String())
	return n, nil
}

const (
	// startPause bounds the pause before Start connects again. Half of the pause is random.
	startPause = 200 * time.Millisecond
	// maxSilent is the number of attempts of Start at a server that accepts the connection and then ends it without a
	// response.
	maxSilent = 10
)

// Start makes this node the hub if the address is free, and otherwise a client of the hub at that address. ctx bounds
// the start only.
//
// If the address is taken and no hub responds, Start tries again until ctx ends, because the hub may be starting or may
// have just died. If the address is not an address of this machine, Start only connects, like Connect. Start returns an
// error if the responding server is not a hub, or if the hub rejects the node.
//
// A client that Start made continues after its hub is closed or killed, whichever program the hub was part of. The
// first of the clients on the hub's machine that finds the address free becomes the hub, at once, and the others
// connect to it. So give all of them the same Options, and above all the same Authorize. The new hub keeps its ID,
// listeners and counters. It queues the events that it emits from the loss of the old hub until 250 ms after it begins
// to serve. By then the other clients have had time to connect, and it sends the events in order; Flush waits for that.
// A client that connects later does not receive them. A hub that hangs but holds its address is not replaced. See
// Options.NoTakeover.
//
// The first of several addresses is the node's own. The others are the addresses of other hubs of the same mesh, which
// share an Options.Backplane. If the first address is taken, the node is a client of the hub there, or of another hub
// if that hub does not respond. After the loss of its hub, the node becomes a hub itself only if no other hub responds.
func Start(ctx context.Context, opts *Options) (*Node, error) {
	o, addrs, err := prepareStart(opts)
	if err != nil {
		return nil, err
	}
	addr := addrs[0]
	home := &addr
	if o.NoTakeover {
		home = nil
	}
	silent := 0
	for round := 0; ; round++ {
		n, err := listen(ctx, o, addr)
		if err == nil {
			return n, nil
		}
		var be *bindError
		if !errors.As(err, &be) || !be.taken && !be.foreign {
			return nil, err
		}
		target := addr
		if be.taken {
			target = addr.at(be.host)
		}
		if round > 0 {
			// Pause only before connecting: the first process that binds must become the hub at once.
			select {
			case <-time.After(startPause/2 + rand.N(startPause/2)):
			case <-ctx.Done():
			}
		}
		n, err = connect(ctx, o, append([]address{target}, addrs[1:]...), home)
		switch {
		case err == nil:
			return n, nil
		case !be.taken || ctx.Err() != nil:
			return nil, err
		case isEOF(err):
			if silent++; silent == maxSilent {
				return nil, err
			}
		case !isRefused(err):
			return nil, err
		}
	}
}

// bindError is the error of an address that cannot be bound.
type bindError struct {
	host    string // one of the addresses of the name
	taken   bool   // it is in use
	foreign bool   // no address of the name is an address of this machine
	err     error
}

func (e *bindError) Error() string { return e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }

// maxPortTries limits the attempts to get a port from the system that is free on all addresses of a name.
const maxPortTries = 10

// bind listens on all addresses of a name that this machine has, in sorted order. If two nodes start at once, one of
// them therefore gets all addresses. If one address is taken, bind closes the listeners of the others.
func bind(ctx context.Context, addr address) ([]net.Listener, error) {
	hosts, err := lookup(ctx, addr.host)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		listeners, err := bindAll(ctx, hosts, addr.port)
		var be *bindError
		if err != nil && addr.port == "0" && try < maxPortTries && errors.As(err, &be) && be.taken {
			continue // the port of the first address is in use at another address
		}
		return listeners, err
	}
}

func bindAll(ctx context.Context, hosts []string, port string) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(listeners)
			listeners = nil
		}
	}()
	var lacking error
	for _, host := range hosts {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
		switch {
		case err == nil:
			listeners = append(listeners, l)
			if tcp, ok := l.Addr().(*net.TCPAddr); ok {
				port = strconv.Itoa(tcp.Port)
			}
		case isForeign(err):
			lacking = err
		default:
			return listeners, &bindError{host: host, taken: isTaken(err), err: err}
		}
	}
	if len(listeners) == 0 {
		return nil, &bindError{host: hosts[0], foreign: true, err: lacking}
	}
	return listeners, nil
}

// lookup returns the addresses of a host, sorted.
func lookup(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	var hosts []string
	for _, a := range slices.Compact(found) {
		hosts = append(hosts, a.String())
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return hosts, nil
}

// The error codes of Windows, which package syscall does not map to the errors of other systems.
const (
	wsaEADDRINUSE    = syscall.Errno(10048)
	wsaEADDRNOTAVAIL = syscall.Errno(10049)
	wsaECONNRESET    = syscall.Errno(10054)
	wsaECONNREFUSED  = syscall.Errno(10061)
)

func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaEADDRINUSE)
}

// isForeign reports whether an address is not one of this machine's, or is of a family that the machine does not
// support.
func isForeign(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaEADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// isEOF reports whether the server ended the connection without a response.
func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// isRefused reports whether no server listened at the address, or the server reset the connection.
func isRefused(err error) bool {
	for _, e := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, wsaECONNREFUSED, wsaECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
