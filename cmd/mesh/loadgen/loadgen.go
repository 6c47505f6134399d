// Package loadgen puts Engine.IO servers under load. It speaks raw HTTP and WebSocket and imports no package of this
// project, so that every server meets the same client. Its callers are mesh bench and the programs in interop.
//
// Everything is bounded: a [Crowd] by its number of connections, a load by a count or a duration, and each wait by a
// deadline. One process holds as many connections as it may have open files, see [RaiseFileLimit]. More connections
// need a second process.
package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Target is the server under load.
type Target struct {
	Host     string // host:port
	Path     string // of Engine.IO, such as /engine.io/
	Revision int    // of the protocol: 3 or 4
	Token    string // sent with each request, as Authorization: Bearer; empty for none
	// TLS holds the trusted certificates. The server name is the host in Host. nil means no TLS.
	TLS *tls.Config
}

// Rate is the result of a load.
type Rate struct {
	Count   int           // deliveries, echoes or connects
	Elapsed time.Duration // of the load alone, without the time before and after it
	// P50 and P99 are percentiles of the time of one delivery, echo or connect. They are zero if the load does not
	// measure this time.
	P50, P99 time.Duration
}

// PerSecond returns Count per second of Elapsed.
func (r Rate) PerSecond() float64 { return float64(r.Count) / r.Elapsed.Seconds() }

const (
	// dialTimeout bounds one handshake. patience bounds other waits for the server, such as the wait for outstanding
	// messages at the end of a load.
	dialTimeout = 20 * time.Second
	patience    = 10 * time.Second
)

// dial opens a connection. Its deadline is dialTimeout from now. The caller may remove the deadline.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", t.Host)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(dialTimeout)) // on a broken connection the next read or write fails
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

// authorization returns the header field with the token, or an empty string if there is no token.
func (t Target) authorization() string {
	if t.Token == "" {
		return ""
	}
	return "Authorization: Bearer " + t.Token + "\r\n"
}

// uri returns the request URI of a transport. sid is empty at a handshake.
func (t Target) uri(transport, sid string) string {
	uri := fmt.Sprintf("%s?EIO=%d&transport=%s", t.Path, t.Revision, transport)
	if sid != "" {
		uri += "&sid=" + url.QueryEscape(sid)
	}
	return uri
}
