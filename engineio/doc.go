// Package engineio opens and serves Engine.IO sessions: streams of text and binary messages between programs, and pages
// in browsers, that survive proxies. A session starts with HTTP long-polling, which goes through everything, and moves
// to a WebSocket if that goes through too; or it starts with a WebSocket. WebTransport is the transport of package
// [github.com/bigcompany/mesh/engineio/webtransport].
//
// [Server] is an http.Handler, [Dial] opens a session, and [Socket] is the session at either end. Protocol revisions 3
// and 4 are spoken by both. What the messages of revision 3 and 4 look like on the wire is in package
// [github.com/bigcompany/mesh/engineio/packet].
//
//	srv := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
//		for {
//			m, err := s.Read(ctx)
//			if err != nil {
//				return // the session has ended
//			}
//			s.Write(ctx, m)
//		}
//	}), nil)
//	http.Handle("/engine.io/", srv)
//	defer srv.Close() // or Shutdown: http.Server does not know these sessions
//
//	s, err := engineio.Dial(ctx, "http://localhost:8080", nil)
//	s.Write(ctx, engineio.Text("hello"))
//	m, err := s.Read(ctx)
//	s.Close()
//
// # Order and delivery
//
// What one end writes, the other reads in that order, across an upgrade too, each message once. Delivery is at most
// once: when a session ends, what its queue held is lost, unless it was ended by Close, which flushes first. Nothing
// reconnects a session; that is for the layer above.
//
// # Reading
//
// Exactly one goroutine stays in [Socket.Read]. It answers heartbeats, follows the upgrade and, at a client, polls.
// Cancelling its context ends the session. A revision 3 ping is answered only when all earlier messages were returned
// and Read is called again, which is what makes [Socket.Ping] a barrier. Those who only write call [Socket.Discard].
// While nobody reads, a server takes in one polling payload, or what the kernel buffers of a WebSocket, and the peer
// waits; a peer that waits longer than a heartbeat may, loses the session.
//
// # Writing
//
// Each socket has a queue, of 1 MiB unless QueueLimit says otherwise. [Socket.Write] waits for room in it,
// [Socket.TryWrite] fails with [ErrQueueFull]; neither waits for the peer. All that is queued leaves together, in as
// few system calls as 64 KiB a call allow. A write that the peer does not take within WriteTimeout ends the session.
// [Prepare] encodes what goes to many once.
//
// # Goroutines and memory
//
// An idle session costs one goroutine: the handler's at a server, the caller's at a client. Heartbeats are timers,
// writers start when there is something to write and end when it is written, and ServeHTTP does not outlive a
// handshake. [Server.Shutdown], [Server.Close] and a client's [Socket.Close] wait for every goroutine.
//
// A server holds for each session at most its queue (QueueLimit and one message), 32 KiB of a message being received,
// and one payload or message waiting for the reader (MaxPayload). What is received beyond these 32 KiB is bounded for
// all sessions together by ReceiveLimit, and what is queued beyond 16 KiB each by BufferLimit.
//
// # Safety
//
// Session IDs are 144 random bits and never logged. Pages of other origins are refused on each transport unless
// AllowedOrigins admits them. Whatever a peer sends ends at most its own session, with the status, body and close
// reason of the reference implementation (npm engine.io); docs/engineio.md lists what is supported and where this
// package differs.
package engineio
