// Package mesh is a distributed event emitter: a node emits an event, and every node that subscribes to the event
// receives it. A node of this package can be the hub or a client in a mesh of the original Node.js program,
// resource-mesh 0.5.1.
//
//	node, err := mesh.Start(ctx, nil) // the hub of localhost:8888, or a client of it
//	node.On("greeting", func(e mesh.Event) { fmt.Println(e.From, string(e.Payload)) })
//	err = node.Emit("greeting", map[string]string{"text": "hello"})
//
// # Shape
//
// A mesh with one hub is a star: the other nodes are clients of the hub. Listen and NewHub make a hub, and Connect
// makes a client. Most programs use Start: the first node on a machine becomes the hub, and when the hub dies, one of
// the other nodes takes over.
//
// # More than one hub
//
// With Options.Backplane several hubs form one mesh. Their clients receive each other's events, reply to each other's
// requests, and see each other in Nodes. An event crosses to another hub only if a node at that hub subscribes to it.
// Flush covers all hubs that respond within 3 s: when it returns at a client, they have processed the client's events
// and know its subscriptions. Shutdown of a hub moves the hub's clients to another hub. Between nodes of this package
// the move loses no event and delivers no event twice. See docs/cluster.md.
//
// # Order
//
// A node receives the events of one emitter in the order in which the emitter emitted them. This also holds while the
// emitter's connection upgrades from long-polling to WebSocket, and after the emitter has reconnected: from then on,
// the hub drops the events that it still reads from the old connection, and counts them in Stats.Late. A client of the
// original has a new ID on each connection, so the hub delivers its late events.
//
// There is no order between different emitters, with one exception: if a listener at the hub emits an event in its
// callback, no node receives that event before the event that caused it.
//
// # Delivery
//
// Delivery is at most once. While a client has no hub, it stores its events in a bounded queue. When it has connected
// again, it sends the queued events, the oldest first, and then newer events. If the queue has no room for an event,
// Emit returns an error: the node never drops the event silently. If a connection breaks, the client does not send
// again the events that it has written to that connection. Flush reports whether the hub has processed all emitted
// events.
//
// After a hub has died and another node has taken over, the new hub delivers an event to the nodes that are connected
// when it routes the event. Nodes that are still reconnecting do not receive the event, and no node stores it for them.
//
// A client of the original that has reconnected k times sends each event k+1 times. A hub cannot distinguish the copies
// from separate events, and relays all of them.
//
// # Interest
//
// A client sends every event to its hub. The hub sends an event to a client only if the client subscribes to it; the
// pattern `**` matches every event. A client announces its subscriptions when it connects, and again when they change.
//
// # No echo
//
// A hub of this package never returns an event to the node that emitted it, on any connection. The hub recognizes peers
// of this package by their ID, and all other peers by their connection. A node delivers its events to its own listeners
// without the hub. A Node.js hub returns an event to its sender if the payload is a string, a number or a boolean; the
// node's own listeners then receive the event twice.
//
// # The sender
//
// A hub sets Event.From from the connection, and ignores any sender in the client's packet. Peers that are not of this
// package get the sender in the payload: if a client emitted the event, and its payload is an object, the hub writes
// the sender into the member id, as the original does. At a client of a Node.js hub, From is that member, which the
// Node.js hub sets too.
//
// # Names
//
// The separator `::` divides a name into parts. Four kinds of names are reserved: names of one part that start with
// `$`, names whose first part is mesh, and the names handshake and newListener. A node cannot emit or subscribe to a
// reserved name, and a hub does not relay one. See package protocol.
//
// # Callbacks
//
// A node runs its callbacks one after another, in the order in which their events arrived. They run on a goroutine that
// exists only while callbacks are queued. The node holds no lock during a callback, so a callback may call Emit, On,
// Close and the off function of a listener. The node does not recover from a panic in a callback: the panic ends the
// process.
//
// The queue of events for callbacks is bounded in bytes. When it is full, the node stops reading from the connection
// that brings more of these events, and logs this after a second. Emit returns ErrQueueFull for an event that the node
// itself subscribes to. Events from other hubs never wait: the hub's own listeners miss them, see Stats.Missed, and its
// peers still receive them.
//
// The off function of a listener, Close and Shutdown do not wait for the callback that is running. After off, no further
// call of the listener follows, and after Close, no further call of any listener. Node.WaitCallback waits until the
// callback that is running has returned.
//
// # Resources
//
// A resource, see Node.Resource, groups methods under one name. While the resource creature is remote, each event
// `creature::talk` of another node runs the method talk once. A new resource is not remote. The node's own Emit of that
// name does not run the method. Resource.Call runs the method whether or not the resource is remote, and sends nothing.
// If a hub has the resource, it still relays the event `creature::talk` of a client; a Node.js hub does not.
//
// A node announces its listeners and its remote methods in an event table, see docs/packet-format.md. The table cannot
// distinguish a listener from a method of the same name. So if a node has both, it subscribes to the event, but does
// not run the method while the resource is not remote.
//
// # Request and reply
//
// Node.Request emits a request event and returns the first reply. Node.Reply registers a function that replies.
// Requests and replies travel as ordinary events, see docs/packet-format.md. Any hub relays them, and OnAny and
// patterns receive them as they are on the wire. A node sends each request and each reply once: when ctx ends, the
// request may or may not have been processed. Replies bypass the callback queue, so a callback may call Request; the
// node's other callbacks wait for it, including the node's own Reply functions. A node that subscribes to `**` receives
// all replies. With Options.Permit, the hub must permit the other nodes to emit `reply-ID`, where ID is the ID of the
// requesting node, and must permit the requesting node to subscribe to it.
//
// # Types
//
// The functions On and Emit take payloads of one Go type. If a payload does not fit the type, On logs it and counts it
// in Stats.Undecodable.
//
// # Moving
//
// A hub that ends by Shutdown, and has other hubs in its mesh, asks its clients of this package to move. A client moves
// if it has the address of another hub, or an address that leads to another hub. It then has two connections for a
// moment. The move loses no event, delivers no event twice, and keeps the order. OnState reports only that the client
// is Connected to the new hub. Meanwhile the events that the client emits wait in the bounded queue, usually for some
// milliseconds. The client stores the events from the new hub, up to Options.CallbackLimit.
//
// If a client reaches no other hub, it stays and tries again until its hub closes. It then loses events as any client
// does when its hub closes. Events of clients that are not of this package may arrive twice if they have no sequence
// number (the field n): see docs/packet-format.md.
//
// # Slow peers
//
// A hub has a queue for each peer, bounded in bytes (Options.QueueLimit). All queues together have a bound too
// (Options.BufferLimit). When a peer's queue has no room for a message, and still has none after the waits described
// below, the hub disconnects the peer with ErrSlowPeer and counts it in Stats.SlowPeers.
//
// The hub slows down a peer that emits faster than a subscriber reads. When half of the subscriber's queue is full, the
// hub stops reading from the emitter until there is room, and counts this in Stats.Pauses. The other half of the queue
// is for peers that emit less than 1/32 of QueueLimit a second (32 KiB by default). Such a peer waits only when the
// whole queue is full, and for at most 250 ms. For events of one emitter that the hub has read together, it waits at
// most 5 s in all. It disconnects a subscriber that reads nothing for 1 s while such events wait for it. The hub's own
// Emit and events from other hubs never wait, so hubs do not block each other. A hub disconnects a subscriber whose
// queue is full when it routes such an event.
//
// When the queues reach BufferLimit, the hub disconnects peers. It begins with the peer for which queued bytes times
// waiting time is largest.
//
// # Admission
//
// With Options.Authorize a hub decides whether to admit each peer, and decides again when the peer presents other
// credentials. Until a peer is admitted, the hub sends it no events and drops its messages. The hub disconnects a
// rejected client of this package, which reports an *AuthError. Any other rejected peer stays connected and muted, and
// the hub disconnects it after Options.MuteTimeout. The hub does not disconnect it earlier, because a client of the
// original would reconnect at once.
//
// # Permissions
//
// With Options.Permit a hub decides, for each peer and event, whether the peer may emit the event and whether it may
// receive it. The hub caches the decisions. Options.Rate limits how much a peer may send. The hub drops events that it
// rejects. Flush confirms that the hub has processed such events, not that it has accepted them. The hub reports
// rejected events to a client of this package, which logs the report and counts the events in Stats.RejectedByHub.
//
// # Presence
//
// Nodes and OnPresence report the nodes of the mesh. Explain reports why a node receives an event or does not. Every
// peer that a hub has admitted may ask, web pages included, unless Options.Permit rejects it. NodeInfo lists the
// contents of the replies, such as the address and the subscriptions of a node. They include no credentials, keys or
// session IDs. At a client of a Node.js hub, Nodes and Explain return ErrLegacyHub, except that Explain works for the
// client itself. OnPresence reports nothing there.
//
// # Invalid input
//
// A hub rejects and counts a packet that is malformed or breaks a rule. The connection and the hub continue. Each kind
// of rejection has a Rule, a counter in Stats and a line in the log; the hub logs each kind at most once a second.
// Options and the constants of packages protocol and engineio bound sizes, depths and counts. Credentials, keys and
// session IDs appear in no log and no error.
package mesh
