package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/engineiotest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// stage is an in-memory network, in a bubble, with hubs that the test controls: http://a, http://b and so on.
type stage struct {
	t      *testing.T
	hubs   map[string]*puppet
	client *http.Client
}

func onStage(t *testing.T, names string, act func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, hubs: make(map[string]*puppet)}
		s.client = &http.Client{Transport: &http.Transport{DialContext: s.dial}}
		for name := range strings.SplitSeq(names, "") {
			s.hubs[name] = startPuppet(t, name)
		}
		act(t, s)
		s.client.CloseIdleConnections()
		for _, h := range s.hubs {
			h.stop()
		}
	})
}

func (s *stage) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ":")
	if h := s.hubs[name]; h != nil && !h.down.Load() {
		return h.network.DialContext(ctx, network, address)
	}
	return nil, errors.New("nobody there")
}

// connect connects a client to hub a. The client has the addresses of the other hubs, too.
func (s *stage) connect(opts mesh.Options) (*mesh.Node, *puppetPeer) {
	s.t.Helper()
	var addrs []string
	for name, h := range s.hubs {
		addrs = append(addrs, "http://"+name)
		h.down.Store(name != "a")
	}
	opts.Addr, opts.HTTPClient, opts.Transports = strings.Join(addrs, ","), s.client, overWebSocket
	n, err := mesh.Connect(testContext(s.t), &opts)
	require.NoError(s.t, err)
	for _, h := range s.hubs {
		h.down.Store(false)
	}
	p := s.hubs["a"].arrival()
	require.Contains(s.t, p.hello, `"moves":true`)
	return n, p
}

// puppet is a hub of the stage. It sends the hello packet, responds to pings, and does nothing else by itself.
type puppet struct {
	t       *testing.T
	id      string
	network *engineiotest.Listener
	server  *engineio.Server
	web     http.Server
	wg      sync.WaitGroup
	down    atomic.Bool // it accepts no connections
	deaf    atomic.Bool // it reads nothing after the first packet
	refuse  atomic.Bool
	poses   atomic.Bool // it introduces itself as hub a, and sends events at once
	peers   chan *puppetPeer
}

// puppetPeer is a client's session at a puppet.
type puppetPeer struct {
	t     *testing.T
	sock  *engineio.Socket
	hello string // its first packet
	in    chan string
	gone  chan struct{}
}

func startPuppet(t *testing.T, id string) *puppet {
	h := &puppet{t: t, id: id, network: engineiotest.NewListener(), peers: make(chan *puppetPeer, 100)}
	h.server = engineio.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	h.web.Handler = h.server
	h.wg.Go(func() { _ = h.web.Serve(h.network) })
	return h
}

func (h *puppet) stop() {
	_ = h.server.Close()
	_ = h.web.Close()
	h.wg.Wait()
}

func (h *puppet) ServeSocket(ctx context.Context, s *engineio.Socket) {
	m, err := s.Read(ctx)
	if err != nil {
		return
	}
	p := &puppetPeer{t: h.t, sock: s, hello: string(m.Data), in: make(chan string, 100_000), gone: make(chan struct{})}
	defer close(p.gone)
	packet, err := protocol.Parse(m.Data)
	if err != nil || packet.Headers.Mesh == nil {
		h.t.Errorf("no offer: %s", m.Data)
		return
	}
	if h.refuse.Load() {
		_ = s.TryWrite(engineio.Text(`{"event":"$mesh.unauthorized","payload":{"message":"no"}}`))
		return
	}
	id := h.id
	if h.poses.Load() {
		id = "a"
	}
	_ = s.TryWrite(engineio.Text(fmt.Sprintf(`{"event":"$mesh.hello","payload":{"v":1,"id":"%s","hub":"%s"}}`, protocol.ID(packet.Headers.Mesh.Key), id)))
	if h.poses.Load() { // the client may have left by now
		for n := range 3 {
			_ = s.TryWrite(engineio.Text(foreign(n + 1)))
		}
	}
	h.peers <- p
	if h.deaf.Load() {
		<-ctx.Done()
		return
	}
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		p.in <- string(m.Data)
	}
}

func (h *puppet) arrival() *puppetPeer {
	h.t.Helper()
	select {
	case p := <-h.peers:
		return p
	case <-time.After(patience):
		require.FailNow(h.t, "no client came", h.id)
		return nil
	}
}

func (p *puppetPeer) say(packets ...string) {
	p.t.Helper()
	for _, packet := range packets {
		require.NoError(p.t, p.sock.TryWrite(engineio.Text(packet)))
	}
}

// foreign returns an event of another node.
func foreign(n int) string {
	return fmt.Sprintf(`{"event":"e","payload":%d,"from":"other","n":%d}`, n, n)
}

// tell sends events of another node.
func (p *puppetPeer) tell(numbers ...int) {
	p.t.Helper()
	for _, n := range numbers {
		p.say(foreign(n))
	}
}

func (p *puppetPeer) next() string {
	p.t.Helper()
	select {
	case packet := <-p.in:
		return packet
	case <-time.After(patience):
		require.FailNow(p.t, "no packet came")
		return ""
	}
}

// sync responds to the client's $mesh.sync.
func (p *puppetPeer) sync() {
	p.t.Helper()
	question := p.next()
	require.Contains(p.t, question, `"$mesh.sync"`)
	p.say(question)
}

// watched responds to the query of a client that watches presence.
func (p *puppetPeer) watched() {
	p.t.Helper()
	question := p.next()
	require.Contains(p.t, question, `"watch":true`)
	var q struct{ Payload struct{ RID int } }
	require.NoError(p.t, json.Unmarshal([]byte(question), &q))
	p.say(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":%d,"nodes":[]}}`, q.Payload.RID))
}

func (p *puppetPeer) ended() bool {
	synctest.Wait()
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

const (
	move    = `{"event":"$mesh.move","payload":{}}`
	leaving = `{"event":"$mesh.leaving","payload":{}}`
	left    = `{"event":"$mesh.left","payload":{}}`
)
