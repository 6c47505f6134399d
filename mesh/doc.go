// Package mesh is a distributed event emitter: what one node emits, every node that listens to it hears. It joins the
// original Node.js mesh, resource-mesh 0.5.1, as its hub or as its client.
//
//	node, err := mesh.Start(ctx, nil) // the hub of localhost:8888, or a client of it
//	node.On("greeting", func(e mesh.Event) { fmt.Println(e.From, string(e.Payload)) })
//	err = node.Emit("greeting", map[string]string{"text": "hello"})
//
// # Shape
//
// A mesh is a star. One node is its hub, see Listen and NewHub; the others are its clients, see Connect. Start is what
// most programs want: the first one on a machine becomes the hub, and when that dies, one of the others does.
//
// # More than one hub
//
// With Options.Backplane several hubs are one mesh: their clients hear each other, answer each other's requests, and see each
// other in Nodes. An event crosses to a hub only if somebody listens there. Flush then covers all hubs: when it has
// returned to a client, all know what that listens to. A hub that ends by Shutdown has its clients move to another one,
// which loses and doubles nothing between nodes of this package. See docs/cluster.md.
//
// # Order
//
// What one node emits, another receives in that order, also while a connection moves from long-polling to WebSocket, and
// after a connection broke: what the hub then reads of the old one, late, is dropped and counted in Stats.Late. A client of
// the original has a new ID on each connection, so that its late events are delivered.
// There is no order between different emitters, except that nobody gets an answer that was given by a hub's own
// listener before the event that it answers.
//
// # Delivery
//
// At most once. While a client has no hub, its events wait in a bounded queue and go out, oldest first and before newer
// ones, after the next handshake; what does not fit is an error to the caller of Emit, never silence. What was written
// to a connection that then broke is not sent again. Flush tells whether all that was emitted has reached the hub.
//
// When a hub dies and another node takes its place, an event reaches those who have found the new hub when it is dealt
// with there. Whoever is still looking does not get it, and nobody keeps it.
//
// A client of the original sends each event k+1 times after it reconnected k times. A hub cannot tell the copies from
// events, and relays them.
//
// # Interest
//
// From a client to its hub every event crosses. From the hub to a client an event crosses only if the client listens
// to it; `**` asks for everything. A client announces what it listens to when it connects, and whenever that changes.
//
// # No echo
//
// An event never returns to the node that emitted it, on whichever connection: the hub knows its peers of this package by
// their ID, and all others by their connection. A node's own listeners hear its events without the hub.
// A Node hub returns to their sender events whose payload is a string, a number or a boolean; this node then hears them
// twice.
//
// # Who sent it
//
// A hub sets Event.From from the connection, whatever the client wrote. To peers that are not of this package it writes
// the sender into payloads that are objects, as their member id, as the original does. Behind a Node hub From is that
// member, which that hub sets too.
//
// # Names
//
// The parts of a name are separated by `::`. Names that start with `$` and have one part, names whose first part is
// mesh, handshake and newListener are reserved: they cannot be emitted or listened to, and a hub does not relay them.
// See package protocol.
//
// # Callbacks
//
// The callbacks of one node run one after another, in the order in which their events came, on a goroutine that starts
// when there is something to call and ends when there is nothing more. No lock is held, and Emit, On, the off of a
// listener and Close may be called. A panic is not recovered: it ends the process.
//
// Events that wait for a callback are bounded in bytes. When the queue is full, the connection that brings more of them
// waits, which is logged after a second, and Emit returns ErrQueueFull for events that the node itself listens to. What a
// hub gets from other hubs waits for nothing: the hub's own listeners then miss it, see Stats.Missed, and its peers do not.
//
// After the off of a listener has returned, its callback is not running and is not called again, unless off was called
// in that very callback. After Close has returned the same holds for all of them.
//
// # Resources
//
// A resource, see Node.Resource, has methods under one name: the event `creature::talk` of any other node runs the
// method talk of this node's resource creature, once, while the resource is remote. It is not at first. A node's own
// Emit of that name does not run it, Resource.Call does, remote or not, and sends nothing. A hub that has the resource
// passes the event on as well, which a Node hub does not.
//
// An event table cannot say that an event is for a listener and not for the method of the same name. So a node that
// wants both asks for the event, and keeps it from the method itself.
//
// # Request and reply
//
// Node.Request emits an event that asks, and returns the first answer of those who listen with Node.Reply. Both are
// ordinary events, see docs/packet-format.md, which any hub relays, and which OnAny and patterns hear as they are on the
// wire. Nothing is sent twice: when ctx ends, the request may have been dealt with or not. Answers do not wait for
// callbacks, so that a callback may make requests, while the node's other callbacks wait for it. Whoever listens to
// everything hears all answers. Where a hub has Options.Permit, it has to let the others emit `reply-ID`, with the ID of
// the node that asks, and that node hear it.
//
// # Types
//
// The functions On and Emit take payloads of one type. What does not fit is logged and counted in Stats.Undecodable.
//
// # Moving
//
// A hub that is shut down with Shutdown, and has others in its mesh, asks its clients of this package to move. A client that
// has the addresses of others, or one that leads to another hub, then has two connections for a moment: it loses no event,
// hears none twice, the order stays, and OnState reports Connected with the new hub and nothing else. What it emits
// meanwhile waits in the bounded queue, some milliseconds as a rule. What the new hub sends meanwhile is kept, up to
// Options.CallbackLimit.
//
// If no other hub can be reached, it stays and tries again until its hub closes, and then loses what anybody loses whose
// hub has closed. Events of clients that are not of this package may come twice if they are not numbered: see
// docs/packet-format.md.
//
// # Slow peers
//
// Each peer of a hub has a queue, bounded in bytes (Options.QueueLimit), and all queues together have a bound too
// (Options.BufferLimit). The hub closes a peer whose queue is full, with ErrSlowPeer, and counts it in Stats.SlowPeers.
//
// A peer that emits faster than a listener reads is slowed down: when half of the listener's queue is full, the hub does not
// read from the emitter until there is room, and counts it in Stats.Pauses. The other half of the queue is for peers that emit
// less than 1/32 of QueueLimit a second (32 KiB), which do not wait. The hub waits at most 5 s for the listeners of the events
// that it has read at once, and closes a listener that takes nothing for 1 s. Emit and events from other hubs never wait, so
// that hubs do not hold each other up; a listener at another hub is closed when its queue is full.
//
// When BufferLimit is reached, the hub closes the peers with the fullest queues that have waited the longest.
//
// # Who is admitted
//
// With Options.Authorize a hub asks for each peer, and again when the peer presents other credentials. Until it is
// admitted, a peer hears nothing and what it sends is dropped. A client of this package that is refused gets an
// *AuthError and is closed. Any other stays connected, muted, and is closed after Options.MuteTimeout: a client of the
// original's would be back in the same moment.
//
// # What a peer may do
//
// With Options.Permit a hub asks, for each peer and event, whether the peer may emit it and whether it may hear it, and
// remembers the answers. Options.Rate bounds how much a peer may send. Events that are refused are dropped: Flush says
// that the hub has dealt with them, not that it took them. A client of this package is told, which it logs and counts in
// Stats.Refused.
//
// # Who is there
//
// Nodes and OnPresence tell who is in the mesh, Explain why a node gets an event or does not. Every peer that a hub has
// admitted may ask, pages included. What the answers show of a node is in NodeInfo: no credentials, keys or session IDs,
// but its address and what it listens to. Behind a Node hub all this is ErrNodeHub.
//
// # What a hub withstands
//
// What makes no sense, or breaks a rule, is refused and counted; the connection and the hub live on. Each kind of refusal
// has a Rule, a counter in Stats and a line in the log, of which there is at most one a second. Sizes, depths and numbers are
// bounded by Options and by the constants of packages protocol and engineio. Credentials, keys and session IDs appear in
// no log and no error.
package mesh
