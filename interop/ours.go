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
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio"
	wt "github.com/bigcompany/mesh/engineio/webtransport"
)

// ourEnd takes the place of a version for our client or server, which runs in this process.
const ourEnd = "ours"

// ourParty is our end of a session. It queues received messages as events of an endpoint, like the events of another
// process.
type ourParty struct {
	peerParty
	socket *engineio.Socket
}

func newOurParty(s *engineio.Socket) ourParty {
	return ourParty{peerParty{NewQueue(ourEnd), 1}, s}
}

// serve is the only reader of the session. It returns when the session ends. prefix is server or client, and begins the
// messages of a burst.
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
			p.endpoint.Push(closed)
			return
		}
		got := Event{Kind: "message", Session: 1}
		if m.Binary {
			got.Base64 = m.Data
		} else {
			text := string(m.Data)
			got.Text = &text
		}
		p.endpoint.Push(got)
		if set.echo && prefix == "server" {
			if err := p.socket.Write(ctx, m); err != nil {
				p.endpoint.Push(Event{Kind: "error", Error: err.Error()})
			}
		}
	}
}

// burst sends the messages in three parts, as the foreign peers do: at once, one each millisecond, and after the
// upgrade.
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
			return // the session has ended: Read returns the reason
		}
	}
}

func (p ourParty) send(ctx context.Context, m message) error {
	return p.socket.Write(ctx, engineio.Message{Binary: m.binary, Data: []byte(m.data)})
}

// upgraded checks the transport each millisecond, because there is no event to wait for.
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

// ourServer starts a new server for each exchange.
type ourServer struct {
	certificate tls.Certificate // for WebTransport
	origins     []string        // AllowedOrigins
	jsonp       bool
	front       func(http.Handler) http.Handler // wraps the server; nil: the server is not wrapped
	tls         *tls.Config                     // nil: plain HTTP; otherwise TLS with HTTP/1.1 and HTTP/2
}

type ourListening struct {
	engine   *engineio.Server
	http     *httptest.Server
	quic     *wt.Server // nil in modes without WebTransport
	serving  sync.WaitGroup
	sessions chan ourParty
}

func (o *ourServer) listen(ctx context.Context, set setup) (listening, error) {
	l := &ourListening{sessions: make(chan ourParty, 1)}
	l.engine = engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		p := newOurParty(s)
		l.sessions <- p // does not block: there is only one session, and the channel has room for it
		p.serve(ctx, set, "server")
	}), &engineio.ServerOptions{
		Revisions:      []engineio.Revision{engineio.Revision3, engineio.Revision4},
		Transports:     ourTransports(set.mode),
		PingInterval:   set.beat.interval,
		PingTimeout:    set.beat.timeout,
		AllowedOrigins: o.origins,
		JSONP:          o.jsonp,
	})
	var handler http.Handler = l.engine
	if o.front != nil {
		handler = o.front(handler)
	}
	l.http = httptest.NewUnstartedServer(handler)
	if set.mode.quic() {
		tcp, udp, err := listenBoth(ctx)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		_ = l.http.Listener.Close()
		l.http.Listener = tcp
		l.serveQUIC(udp, o.certificate)
	}
	if o.tls != nil {
		l.startTLS(o.tls)
	} else {
		l.http.Start()
	}
	return l, nil
}

// serveQUIC serves WebTransport on conn in a goroutine, which closes conn at the end.
func (l *ourListening) serveQUIC(conn net.PacketConn, certificate tls.Certificate) {
	l.quic = wt.NewServer(l.engine, &wt.ServerOptions{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	})
	l.serving.Go(func() {
		_ = l.quic.Serve(conn)
		_ = conn.Close()
	})
}

func (l *ourListening) startTLS(config *tls.Config) {
	l.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients dial more connections than they use, which the server would log
	l.http.EnableHTTP2 = true
	l.http.TLS = config
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

// ourClient is our client. stop ends its sessions.
type ourClient struct {
	revision engineio.Revision
	http     *http.Client // nil: the default of engineio.Dial
	quic     *wt.Dialer   // nil: no WebTransport
	ctx      context.Context
	cancel   context.CancelFunc
	sessions *sync.WaitGroup
}

func makeOurClient(revision engineio.Revision) ourClient {
	c := ourClient{revision: revision, sessions: new(sync.WaitGroup)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c ourClient) stop() {
	c.cancel()
	c.sessions.Wait()
}

func (c ourClient) dial(ctx context.Context, url string, set setup) (party, error) {
	opts := &engineio.DialOptions{
		Revision:   c.revision,
		Transports: ourTransports(set.mode),
		HTTPClient: c.http,
	}
	if c.quic != nil {
		opts.WebTransport = c.quic.Dial
	}
	s, err := engineio.Dial(ctx, url, opts)
	if err != nil {
		return nil, err
	}
	p := newOurParty(s)
	c.sessions.Go(func() { p.serve(c.ctx, set, "client") })
	return p, nil
}
