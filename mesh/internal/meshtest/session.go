package meshtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// Session is the test's side of an Engine.IO session, as a client or as a hub. It sends packets, and records the packets
// that arrive: see Next and C.
type Session struct {
	*Recorder[string]
	Socket *engineio.Socket
	Done   chan struct{} // closed when no further packet arrives
}

func newSession(t testing.TB, s *engineio.Socket) *Session {
	return &Session{Recorder: NewRecorder[string](t), Socket: s, Done: make(chan struct{})}
}

// DialOptions returns the options for a session by revision 3 on a WebSocket.
func DialOptions() *engineio.DialOptions {
	return &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}}
}

// Dial connects a client that is not of package mesh to a hub. opts may be nil; the default is DialOptions.
func Dial(t testing.TB, url string, opts *engineio.DialOptions) *Session {
	t.Helper()
	if opts == nil {
		opts = DialOptions()
	}
	sock, err := engineio.Dial(Context(t), url, opts)
	require.NoError(t, err)
	s := newSession(t, sock)
	go s.record(context.Background())
	t.Cleanup(func() {
		_ = sock.Close() // a normal close: a hub waits for a poller that disappears
		<-s.Done
	})
	return s
}

// record reads packets until the session ends.
func (s *Session) record(ctx context.Context) {
	defer close(s.Done)
	for {
		m, err := s.Socket.Read(ctx)
		if err != nil {
			return
		}
		s.Add(string(m.Data))
	}
}

// Send sends packets in order.
func (s *Session) Send(packets ...string) {
	s.t.Helper()
	for _, p := range packets {
		require.NoError(s.t, s.Socket.Write(Context(s.t), engineio.Text(p)))
	}
}

// SendEvents sends an event for each number. See Event.
func (s *Session) SendEvents(numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		s.Send(Event(n))
	}
}

// Barrier returns when the other side has processed everything that was sent, and every packet that it sent before has
// arrived. Only a client of revision 3 has a barrier.
func (s *Session) Barrier() {
	s.t.Helper()
	require.NoError(s.t, s.Socket.Ping(Context(s.t)))
}

// Received returns all packets that have arrived at a client and that the test has not taken yet.
func (s *Session) Received() []string {
	s.t.Helper()
	s.Barrier()
	return s.All()
}

// AwaitEnd waits for the end of the session.
func (s *Session) AwaitEnd() {
	s.t.Helper()
	select {
	case <-s.Done:
	case <-time.After(Patience):
		require.FailNow(s.t, "the session did not end")
	}
}

// Ended reports whether the session has ended.
func (s *Session) Ended() bool {
	select {
	case <-s.Done:
		return true
	default:
		return false
	}
}
