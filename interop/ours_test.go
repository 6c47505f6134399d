package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	wt "github.com/bigcompany/mesh/engineio/webtransport"
)

// ourEnd stands where a version does, for our end. It runs in the test's own process.
const ourEnd = "ours"

// TestOurServer runs each exchange between foreign clients and our server.
func TestOurServer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.4.1", "3.5.4", "6.6.8", Googollee} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			client := startClient(t, version)
			server := &ourServer{}
			ourCells(t, version, ourEnd, client, server)
		})
	}
}

// TestOurDial runs each exchange between our client and foreign servers.
func TestOurDial(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		revision engineio.Revision
		server   string
		options  map[string]any
	}{
		{revision: engineio.Revision3, server: "1.4.1"},
		{revision: engineio.Revision3, server: "3.6.2"},
		{revision: engineio.Revision3, server: Googollee},
		{revision: engineio.Revision3, server: "6.6.12", options: map[string]any{"allowEIO3": true}},
		{revision: engineio.Revision4, server: "6.6.12"},
	} {
		t.Run(fmt.Sprintf("revision %d to %s", tt.revision, tt.server), func(t *testing.T) {
			t.Parallel()
			server := startServer(t, tt.server, tt.options)
			client := newOurClient(t, tt.revision)
			ourCells(t, ourEnd, tt.server, client, server)
		})
	}
}

// ourCells runs each exchange that is not the peer's fault; TestReference shows the others.
func ourCells(t *testing.T, clientVersion, serverVersion string, client clientSide, server serverSide) {
	t.Helper()
	eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
		if faultOf(clientVersion, serverVersion, m, c.name) != nil {
			return nil
		}
		return func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			require.NoError(t, c.run(ctx, client, server, m))
		}
	})
}

// ourParty is our end of a session. What arrives is queued as events of an endpoint, as if from another process.
type ourParty struct {
	peerParty
	socket *engineio.Socket
}

func newOurParty(s *engineio.Socket) ourParty {
	p := &Peer{name: ourEnd, exited: make(chan struct{}), endpoints: make(map[string]*Endpoint)}
	return ourParty{peerParty{p.Endpoint(), 1}, s}
}

// serve is the one reader of the session.
func (p ourParty) serve(ctx context.Context, set setup, prefix string) {
	var bursting sync.WaitGroup
	defer bursting.Wait()
	if set.burst > 0 {
		bursting.Go(func() { p.burst(set, prefix) })
	}
	for {
		m, err := p.socket.Read(ctx)
		if err != nil {
			closed := Event{Kind: "closed", Error: err.Error()}
			if end, ok := errors.AsType[*engineio.CloseError](err); ok {
				closed.Reason = end.Reason
			}
			p.endpoint.push(closed)
			return
		}
		got := Event{Kind: "message", Session: 1}
		if m.Binary {
			got.Base64 = m.Data
		} else {
			text := string(m.Data)
			got.Text = &text
		}
		p.endpoint.push(got)
		if set.echo {
			if err := p.socket.Write(ctx, m); err != nil {
				p.endpoint.push(Event{Kind: "error", Error: err.Error()})
			}
		}
	}
}

// burst sends in three parts, as the foreign peers do.
func (p ourParty) burst(set setup, prefix string) {
	ctx := p.socket.Context()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range set.burst {
		switch third := set.burst / 3; {
		case i > third && i < 2*third:
			<-tick.C
		case i == 2*third && set.mode.upgrades():
			if p.upgraded(ctx) != nil {
				return
			}
		}
		if err := p.socket.Write(ctx, engineio.Text(fmt.Sprintf("%s-%d", prefix, i))); err != nil {
			return // the session has ended: Read says why
		}
	}
}

func (p ourParty) send(ctx context.Context, m message) error {
	return p.socket.Write(ctx, engineio.Message{Binary: m.binary, Data: []byte(m.data)})
}

// upgraded looks at the transport again and again: there is no event to wait for.
func (p ourParty) upgraded(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.socket.Transport() == engineio.Polling {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no upgrade: %w", context.Cause(ctx))
		case <-p.socket.Context().Done():
			return fmt.Errorf("no upgrade: %w", context.Cause(p.socket.Context()))
		}
	}
	return nil
}

func (p ourParty) close(context.Context) error { return p.socket.Close() }

func ourTransports(m mode) []engineio.Transport {
	var transports []engineio.Transport
	for _, name := range m.transports() {
		transports = append(transports, engineio.Transport(name))
	}
	return transports
}

// ourServer listens with a server of its own for each exchange.
type ourServer struct {
	certificate tls.Certificate // for WebTransport
	origins     []string        // AllowedOrigins
	jsonp       bool
	front       func(http.Handler) http.Handler // nil: nothing stands before the server
	tls         bool                            // with the certificate of this package, and HTTP/2
}

type ourListening struct {
	engine   *engineio.Server
	http     *httptest.Server
	quic     *wt.Server // of the modes with WebTransport
	serving  sync.WaitGroup
	sessions chan ourParty
}

func (o *ourServer) listen(ctx context.Context, set setup) (listening, error) {
	l := &ourListening{sessions: make(chan ourParty, 1)}
	l.engine = engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		p := newOurParty(s)
		l.sessions <- p // one session is dialled, and there is room for it
		p.serve(ctx, set, "server")
	}), &engineio.ServerOptions{
		Revisions:      []engineio.Revision{engineio.Revision3, engineio.Revision4},
		Transports:     ourTransports(set.mode),
		AllowedOrigins: o.origins,
		JSONP:          o.jsonp,
	})
	var handler http.Handler = l.engine
	if o.front != nil {
		handler = o.front(handler)
	}
	l.http = httptest.NewUnstartedServer(handler)
	if o.tls {
		l.startTLS()
	} else {
		l.http.Start()
	}
	if slices.Contains(set.mode.transports(), "webtransport") {
		if err := l.listenQUIC(ctx, o.certificate); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// listenQUIC listens on the same port as the HTTP server.
func (l *ourListening) listenQUIC(ctx context.Context, certificate tls.Certificate) error {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", l.http.Listener.Addr().String())
	if err != nil {
		return err
	}
	l.quic = wt.NewServer(l.engine, &wt.ServerOptions{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	})
	l.serving.Go(func() {
		_ = l.quic.Serve(conn)
		_ = conn.Close()
	})
	return nil
}

func (l *ourListening) startTLS() {
	l.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients dial more connections than they use
	l.http.EnableHTTP2 = true
	l.http.TLS = &tls.Config{Certificates: []tls.Certificate{loopbackIdentity().tls}}
	l.http.StartTLS()
}

func (l *ourListening) url() string { return l.http.URL + "/engine.io/" }

func (l *ourListening) accept(ctx context.Context) (party, error) {
	select {
	case p := <-l.sessions:
		return p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *ourListening) close() error {
	err := l.engine.Close()
	l.http.Close()
	if l.quic != nil {
		err = errors.Join(err, l.quic.Close())
		l.serving.Wait()
	}
	return err
}

// ourClient dials; its sessions end with the test that it was made for.
type ourClient struct {
	revision engineio.Revision
	http     *http.Client // nil: the session's own
	ctx      context.Context
	sessions *sync.WaitGroup
}

func newOurClient(t *testing.T, revision engineio.Revision) ourClient {
	c := ourClient{revision: revision, sessions: new(sync.WaitGroup)}
	ctx, cancel := context.WithCancel(context.Background())
	c.ctx = ctx
	t.Cleanup(func() {
		cancel()
		c.sessions.Wait()
	})
	return c
}

func (c ourClient) dial(ctx context.Context, url string, set setup) (party, error) {
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{
		Revision:   c.revision,
		Transports: ourTransports(set.mode),
		HTTPClient: c.http,
	})
	if err != nil {
		return nil, err
	}
	p := newOurParty(s)
	c.sessions.Go(func() { p.serve(c.ctx, set, "client") })
	return p, nil
}
