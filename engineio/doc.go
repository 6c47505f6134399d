// Package engineio opens and serves Engine.IO sessions. A session is a stream of text and binary messages between two
// programs, or between a page in a browser and a server, and it works through proxies. A session either starts with
// HTTP long-polling, which works on every network, and moves to a WebSocket if the network allows one, or it starts
// with a WebSocket. Package [github.com/bigcompany/mesh/engineio/webtransport] adds the WebTransport transport.
//
// [Server] is an http.Handler, [Dial] opens a session, and [Socket] is either end of a session. Server and client both
// speak protocol revisions 3 and 4.
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
// Each end reads the other end's messages in the order in which they were written, each message once. This also holds
// during an upgrade. Delivery is at most once: when a session ends, the messages in its queue are lost. Only
// [Socket.Close], [Server.Shutdown] and the return of a server's handler send the queue first. This package does not
// reconnect sessions; the layer above does that.
//
// # Reading
//
// Exactly one goroutine must stay in [Socket.Read]. Read also replies to heartbeats, follows the upgrade and, at a
// client, polls. The session ends when Read's context ends. Read replies to a revision 3 ping only when it has returned
// all earlier messages and is called again. So when a client's [Socket.Ping] returns, the server's handler has taken
// all earlier messages. A program that only writes calls [Socket.Discard]. While no goroutine reads, a server accepts
// one polling payload, or as much of a WebSocket as the kernel buffers, and the peer then waits. The session ends if
// the peer waits longer than the heartbeat allows.
//
// # Writing
//
// Each socket has a queue. Its limit is QueueLimit, 1 MiB by default. [Socket.Write] waits for room in the queue, and
// [Socket.TryWrite] fails with [ErrQueueFull] if the queue is full; neither waits until the peer has received the
// message. The socket sends queued messages together, up to 64 KiB in one system call. The session ends if the peer
// does not accept a write within WriteTimeout. [Prepare] encodes a message once for many sockets.
//
// # Goroutines and memory
//
// An idle session costs one goroutine: at a server the handler's, at a client the caller's. At a server, net/http needs
// one more goroutine for a waiting poll. Heartbeats are timers. On a stream and at a polling client, a writer goroutine
// starts when a message is queued and ends when the queue is empty. A polling server writes the queue in the response
// to a poll. ServeHTTP returns after the handshake. [Server.Shutdown], [Server.Close] and a client's
// [Socket.Close] wait for every goroutine.
//
// For each session a server holds at most the queue (QueueLimit or one larger message, and 16 KiB of control packets),
// 32 KiB of a message that it is receiving, and one payload or message that waits for the reader (MaxPayload). Over all
// sessions, ReceiveLimit bounds the bytes of messages that are being received, above 32 KiB for each session.
// BufferLimit bounds the queued bytes, above 16 KiB for each session.
//
// # Safety
//
// Session IDs are 144 random bits and are never logged. On each transport the server rejects pages of other origins
// unless AllowedOrigins admits them. Invalid input from a peer ends at most the peer's own session, with the status,
// body and close reason of the reference implementation (npm engine.io). docs/engineio.md lists the supported features
// and the differences of this package.
package engineio
