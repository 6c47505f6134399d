package interop

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// link forwards connections to a server. A test can cut it, mend it, or make it slow. Bytes that are sent while the
// link is cut wait in it, if there is room, and arrive when it is mended, as with a cable and TCP. So does the end of a
// connection.
type link struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup
	rate     atomic.Int64 // bytes a second in each direction of a connection; 0 means no limit

	mu     sync.Mutex
	whole  chan struct{} // closed while the link is whole
	closed chan struct{}
	conns  []net.Conn
}

// linkRoom is the size of the system's buffer for one direction, in bytes. Packets of the loopback interface are large.
// With room for only a few of them, TCP would be slow even after the link is mended.
const linkRoom = 256 << 10

func newLink(t *testing.T, target string) *link {
	t.Helper()
	l := &link{target: target, whole: make(chan struct{}), closed: make(chan struct{})}
	close(l.whole)
	var err error
	l.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.running.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = make(chan struct{})
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.whole)
}

func (l *link) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	close(l.closed)
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// wait returns true when the link is whole, or false when it is closed.
func (l *link) wait() bool {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	select {
	case <-whole:
		return true
	case <-l.closed:
		return false
	}
}

func (l *link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.join(in) })
	}
}

// join forwards a connection.
func (l *link) join(in net.Conn) {
	if !l.keep(in) || !l.wait() {
		return
	}
	out, err := net.Dial("tcp", l.target)
	if err != nil {
		_ = in.Close()
		return
	}
	if !l.keep(out) {
		return
	}
	l.running.Go(func() { l.pump(in, out) })
	l.pump(out, in)
}

// keep registers c for close. If the link is closed already, keep closes c and returns false.
func (l *link) keep(c net.Conn) bool {
	_ = c.(*net.TCPConn).SetReadBuffer(linkRoom)
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		_ = c.Close()
		return false
	default:
		l.conns = append(l.conns, c)
		return true
	}
}

func (l *link) pump(from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if rate := l.rate.Load(); rate > 0 {
			select {
			case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
			case <-l.closed:
			}
		}
		if !l.wait() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}
