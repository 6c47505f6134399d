// Package wire carries Engine.IO packets over a stream: a WebSocket, or a WebTransport stream with its length-prefixed
// frames. It is the frame layer below the sessions of package engineio.
//
// A [Stream] is one end of a connection whose handshake has succeeded. It splits its input into packets and joins
// packets into writes. It replies to control frames, compresses messages (permessage-deflate), and enforces the limits
// for one message. It knows neither sessions nor heartbeats nor queues, and never calls package engineio: the owner of
// a stream implements [Session] and gives itself to [Stream.Attach].
//
// # Ownership
//
// A stream has no lock and starts no goroutine. One goroutine at a time may read: Await, ReadPacket, InPlace, Buffered,
// HoldsMessage. One goroutine at a time may write: the methods whose names begin with Write, and Unwritten. Both may
// work at the same time. Any goroutine may call Close, which makes both fail. Only Session.Spend, Session.ReceiveLimit,
// Session.BeforeBlock and Session.Pong run on the reader's goroutine; Session.Progress runs on the writer's.
//
// # Idle streams
//
// A server holds many idle streams, so a stream is small. A stream on a plain socket borrows its read buffer while it
// has input, and it waits for input with few and small stack frames: those decide whether the goroutine of an idle
// session has a stack of 2 KB or of 4 KB. This is why some functions here must not be inlined.
//
// # Queued packets
//
// An [Outgoing] is an encoded packet that waits in a queue. It is immutable, so many streams can write the same one; it
// makes the rarer forms of its frame when the first stream needs them.
package wire
