// Package loadgen puts Engine.IO servers under load. It speaks raw HTTP and WebSocket and imports nothing of this project,
// so that every server, whoever wrote it, meets the same client.
//
// Everything is bounded: a [Crowd] by its number of connections, what it does by a count or a time, and what
// is waited for by a deadline. One process holds as many connections as it may have open files, see [RaiseFileLimit];
// more of them take a second process.
package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Target is the server that is put under load.
type Target struct {
	Host     string // host:port
	Path     string // of Engine.IO, such as /engine.io/
	Revision int    // of the protocol: 3 or 4
	Token    string // goes along with each request, as Authorization: Bearer; empty for none
	// TLS has the certificates to trust; the server's name is Host's. nil: no TLS.
	TLS *tls.Config
}

// Rate is what a load came to.
type Rate struct {
	Count   int           // deliveries, answers or connects
	Elapsed time.Duration // of the load alone, without what came before and after
	// P50 and P99 are the times of one answer or connect; zero where there is none.
	P50, P99 time.Duration
}

// PerSecond returns the rate in things a second.
func (r Rate) PerSecond() float64 { return float64(r.Count) / r.Elapsed.Seconds() }

const (
	// dialTimeout bounds one handshake, and patience what is waited for when a load is over.
	dialTimeout = 20 * time.Second
	patience    = 10 * time.Second
)

// dial opens a connection on which nothing takes longer than dialTimeout, until the caller takes the deadline off.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", t.Host)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(dialTimeout)) // a broken connection fails by itself
	if t.TLS == nil {
		return conn, nil
	}
	conf := t.TLS.Clone()
	if conf.ServerName, _, err = net.SplitHostPort(t.Host); err == nil {
		secure := tls.Client(conn, conf)
		if err = secure.HandshakeContext(ctx); err == nil {
			return secure, nil
		}
	}
	_ = conn.Close()
	return nil, err
}

// authorization is the header field that carries the token.
func (t Target) authorization() string {
	if t.Token == "" {
		return ""
	}
	return "Authorization: Bearer " + t.Token + "\r\n"
}

// uri is what the request of a transport asks for. sid is empty at a handshake.
func (t Target) uri(transport, sid string) string {
	uri := fmt.Sprintf("%s?EIO=%d&transport=%s", t.Path, t.Revision, transport)
	if sid != "" {
		uri += "&sid=" + url.QueryEscape(sid)
	}
	return uri
}
