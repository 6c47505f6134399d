package interop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// mode is the way in which a session uses the transports.
type mode string

const (
	polling   mode = "polling"
	websocket mode = "websocket"
	upgrade   mode = "upgrade" // from polling to WebSocket

	webtransport      mode = "webtransport"
	webtransportLater mode = "upgrade to webtransport" // from polling
)

// All peers have modes. Only browsers and our ends have webtransportModes. A row has marks for one of the two lists, in
// the order of the list.
var (
	modes             = []mode{polling, websocket, upgrade}
	webtransportModes = []mode{webtransport, webtransportLater}
)

func (m mode) transports() []string {
	switch m {
	case upgrade:
		return []string{"polling", "websocket"}
	case webtransportLater:
		return []string{"polling", "webtransport"}
	default:
		return []string{string(m)}
	}
}

func (m mode) upgrades() bool { return m == upgrade || m == webtransportLater }

// quic reports whether the mode needs UDP too.
func (m mode) quic() bool { return slices.Contains(webtransportModes, m) }

// title returns the name of the mode for people.
func (m mode) title() string {
	switch m {
	case websocket:
		return "WebSocket"
	case upgrade:
		return "upgrade from polling to WebSocket"
	case webtransport:
		return "WebTransport from the start"
	case webtransportLater:
		return "upgrade from polling to WebTransport"
	default:
		return string(m)
	}
}

// message is one Engine.IO message.
type message struct {
	binary bool
	data   string
}

func (m message) String() string {
	if len(m.data) > 40 {
		return fmt.Sprintf("%d bytes (binary %t) %q…", len(m.data), m.binary, m.data[:40])
	}
	return fmt.Sprintf("%q (binary %t)", m.data, m.binary)
}

// setup is the configuration of both ends of a session.
type setup struct {
	mode  mode
	echo  bool // the server sends each message back unchanged
	burst int  // number of messages from each end, named as in Burst: client-0 and so on, server-0 and so on
	beat  beat // heartbeat of the server; the zero value means the server's default
}

// beat holds the interval and the timeout of heartbeats.
type beat struct{ interval, timeout time.Duration }

// party is one end of a session, in this process or in a peer's process.
type party interface {
	send(ctx context.Context, m message) error
	// receive waits for the next message and returns it. It returns an error if the session ends. Messages are queued
	// until receive is called.
	receive(ctx context.Context) (message, error)
	// upgraded waits until this end has finished the upgrade.
	upgraded(ctx context.Context) error
	close(ctx context.Context) error
	// closed waits for the end of the session and returns its reason.
	closed(ctx context.Context) (string, error)
}

// clientSide opens sessions with one client implementation.
type clientSide interface {
	dial(ctx context.Context, url string, s setup) (party, error)
}

// serverSide starts servers of one implementation, one for each call. The close method of the result ends the server.
type serverSide interface {
	listen(ctx context.Context, s setup) (listening, error)
}

type listening interface {
	url() string
	accept(ctx context.Context) (party, error)
	close() error
}

// peerClient dials in a peer's process. The options are options of the peer's library, without the transports.
type peerClient struct {
	peer    *Peer
	options map[string]any
}

// peerServer listens in a peer's process. The options are options of the peer's library, without the transports.
type peerServer struct {
	peer    *Peer
	options map[string]any
}

type peerParty struct {
	endpoint *Endpoint
	session  int
}

// runEngine runs a process for one end: a script of the folder node, or the program of the folder googollee.
func runEngine(ctx context.Context, script, version string) (*Peer, error) {
	if version == Googollee {
		return RunGoogollee(ctx)
	}
	return RunNode(ctx, script, version)
}

func (c peerClient) dial(ctx context.Context, url string, s setup) (party, error) {
	options := map[string]any{"transports": s.mode.transports()}
	maps.Copy(options, c.options)
	cmd := Command{Do: "dial", URL: url, Options: options, Upgrade: s.mode.upgrades()}
	if s.burst > 0 {
		cmd.Burst = &Burst{Prefix: "client", Count: s.burst}
	}
	p := peerParty{c.peer.Endpoint(), 1}
	if err := p.endpoint.Do(cmd); err != nil {
		return nil, err
	}
	if _, err := p.await(ctx, "open"); err != nil {
		return nil, err
	}
	return p, nil
}

type peerListening struct {
	endpoint *Endpoint
	port     int
}

func (s peerServer) listen(ctx context.Context, set setup) (listening, error) {
	options := map[string]any{"transports": set.mode.transports()}
	maps.Copy(options, s.options)
	if set.beat != (beat{}) {
		options["pingInterval"] = set.beat.interval.Milliseconds()
		options["pingTimeout"] = set.beat.timeout.Milliseconds()
	}
	cmd := Command{Do: "listen", Options: options, Echo: set.echo, Upgrade: set.mode.upgrades()}
	if set.burst > 0 {
		cmd.Burst = &Burst{Prefix: "server", Count: set.burst}
	}
	e := s.peer.Endpoint()
	if err := e.Do(cmd); err != nil {
		return nil, err
	}
	ev, err := e.Await(ctx, "listening")
	if err != nil {
		return nil, err
	}
	return peerListening{e, ev.Port}, nil
}

func (l peerListening) url() string { return fmt.Sprintf("http://127.0.0.1:%d/engine.io/", l.port) }

func (l peerListening) accept(ctx context.Context) (party, error) {
	ev, err := l.endpoint.Await(ctx, "open")
	if err != nil {
		return nil, err
	}
	return peerParty{l.endpoint, ev.Session}, nil
}

func (l peerListening) close() error { return l.endpoint.Do(Command{Do: "close"}) }

func (p peerParty) send(_ context.Context, m message) error {
	cmd := Command{Do: "send", Session: p.session}
	if m.binary {
		cmd.Base64 = []byte(m.data)
	} else {
		cmd.Text = &m.data
	}
	return p.endpoint.Do(cmd)
}

// await waits for an event of the kind. It returns an error if the session ends or fails first.
func (p peerParty) await(ctx context.Context, kind string) (Event, error) {
	ev, err := p.endpoint.Await(ctx, kind, "closed", "error", "upgradeError")
	if err == nil && ev.Kind != kind {
		err = fmt.Errorf("waiting for %s: %s: %s%s", kind, ev.Kind, ev.Reason, ev.Error)
	}
	return ev, err
}

func (p peerParty) receive(ctx context.Context) (message, error) {
	ev, err := p.await(ctx, "message")
	if err != nil {
		return message{}, err
	}
	if ev.Text != nil {
		return message{data: *ev.Text}, nil
	}
	return message{binary: true, data: string(ev.Base64)}, nil
}

func (p peerParty) upgraded(ctx context.Context) error {
	_, err := p.await(ctx, "upgrade")
	return err
}

func (p peerParty) close(context.Context) error {
	return p.endpoint.Do(Command{Do: "close", Session: p.session})
}

func (p peerParty) closed(ctx context.Context) (string, error) {
	ev, err := p.endpoint.Await(ctx, "closed")
	return ev.Reason, err
}
