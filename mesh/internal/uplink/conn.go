package uplink

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/protocol"
)

// conn is one connection of the uplink. One goroutine, live, reads it: the conn's reader.
type conn struct {
	addr    Addr
	sock    *engineio.Socket
	parser  protocol.Parser // used by the reader only
	queries queries         // queries on this connection; another hub does not reply to them
	greeting

	in     atomic.Pointer[migration] // the migration that made this connection; nil if none did, or duplicateTime after it
	out    atomic.Pointer[migration] // the latest attempt to leave this connection; nil without one, or after it has failed
	moving bool                      // the hub has asked the uplink to move; used by the reader only

	read       chan struct{} // closed when the reader has read everything
	introduced chan struct{} // closed when the introduction is done
	failure    error         // the error of the introduction; valid once introduced is closed

	standing
}

// greeting has the facts that a hub reports about itself and about the node until it replies to the first ping. The reader sets
// native and hub until settled is true. Other goroutines read these afterwards.
type greeting struct {
	native   bool // the hub speaks the extensions
	hub      Hub
	settled  atomic.Bool // the hub has replied
	rejected atomic.Pointer[Rejection]
}

// standing is the state of a connection as the uplink sees it. Uplink.mu guards it once the connection is introduced.
type standing struct {
	table      uint64 // version of the table that the hub has
	watching   bool   // the hub reports which nodes join and leave
	lostBefore uint64 // Uplink.lost before this connection broke
	ended      bool   // the reader has no more events to deliver
	since      time.Time
	shortLived bool // it is counted in Uplink.shortLived
}

func (u *Uplink) dial(ctx context.Context, addr Addr) (*conn, error) {
	o := &u.conf
	dial := &engineio.DialOptions{
		Revision:   engineio.Revision3,
		Transports: o.Transports,
		HTTPClient: o.HTTPClient,
		Header:     o.Header,
		MaxPayload: max(16<<20, 2*o.MaxMessage), // a hub adds the sender
		QueueLimit: o.QueueLimit,
		Logger:     o.Logger,
	}
	if u.conf.Transport != nil {
		jar, _ := cookiejar.New(nil) // never fails
		dial.HTTPClient = &http.Client{Transport: u.conf.Transport, Jar: jar}
	}
	sock, err := engineio.Dial(ctx, addr.URL, dial)
	if err != nil {
		return nil, err
	}
	return &conn{addr: addr, sock: sock, read: make(chan struct{}), introduced: make(chan struct{})}, nil
}

// introduce sends a hub the node's handshake. When the hub has processed it, introduce makes conn the uplink's
// connection. The caller must have a goroutine that reads conn meanwhile.
func (u *Uplink) introduce(ctx context.Context, conn *conn) error {
	defer close(conn.introduced)
	first, version := u.handshake(nil, conn, u.offer(false))
	conn.table = version
	err := conn.sock.Write(ctx, engineio.Message{Data: first})
	if err == nil {
		err = conn.sock.Ping(ctx)
	}
	if err == nil {
		err = u.settle(conn)
	}
	if err != nil {
		conn.sock.Abort(nil)
		<-conn.read // the rejection may be the last packet that the reader gets
		if rejected := conn.rejected.Load(); rejected != nil {
			err = rejected
		}
		conn.failure = err
		return err
	}
	u.conf.Local.Report(State{Connected: true, Hub: conn.hub})
	return nil
}

// offer returns the Hello for the node's next connection. With beside, an older connection continues, and the hub ends
// it only when the node emits on the new one.
func (u *Uplink) offer(beside bool) *protocol.Hello {
	return &protocol.Hello{
		V: protocol.Version, Key: u.conf.Key, Name: u.conf.Name, Moves: true, Conn: u.dialed.Add(1), Beside: beside,
	}
}

// settle makes conn the uplink's connection after its hub has replied.
func (u *Uplink) settle(conn *conn) error {
	u.mu.Lock()
	conn.settled.Store(true) // meet, which handles the hub's hello, changes nothing after this
	u.mu.Unlock()
	if rejected := conn.rejected.Load(); rejected != nil {
		return rejected
	}
	if !conn.native {
		conn.hub = Hub{Legacy: true}
		u.conf.Local.MetLegacyHub()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.phase >= closing {
		return fault.ErrClosed
	}
	u.adopt(conn)
	return nil
}

// adopt makes conn the uplink's connection. The caller holds u.mu.
func (u *Uplink) adopt(conn *conn) {
	u.conf.Counters.Connections.Add(1)
	u.conf.Counters.Peers.Store(1)
	u.conf.Local.Reached(conn.addr)
	u.conn = conn
	conn.since = time.Now()
	u.wake()
	u.startPump()
	u.startWatch()
}
