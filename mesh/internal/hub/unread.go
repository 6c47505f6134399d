package hub

import (
	"context"
	"net"
	"net/http"
	"time"
)

// A client of the hub's own listener may send another request while it has at most maxUnread bytes of earlier responses
// to read. If it has more, the hub first waits until the client reads, and disconnects it after unreadTimeout.
const (
	maxUnread     = 32 << 10
	unreadTimeout = 5 * time.Second
)

// connKey is the key of a request's net.Conn in its context.
type connKey struct{}

// connected is http.Server.ConnContext of the hub's own listener.
func (h *Hub) connected(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(h.guests.connected(ctx, conn), connKey{}, conn)
}

// awaitReader waits until the client of a request has read its earlier responses. It returns false if the client does
// not read within unreadTimeout. Without it, the kernel would hold some megabytes of responses until the deadline of
// one of them passes. No browser and no proxy sends a request before it has read the response to the last one. HTTP/2
// limits the unread bytes by flow control.
func awaitReader(r *http.Request) bool {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok || r.ProtoMajor != 1 {
		return true
	}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	pause, end := time.Millisecond, time.Now().Add(unreadTimeout)
	for unreadBytes(conn) > maxUnread { // poll, because the kernel reports no event for it
		if time.Now().After(end) {
			if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
				_ = tcp.SetLinger(0) // frees the kernel's memory when the connection is closed
			}
			return false
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	return true
}
