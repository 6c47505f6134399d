// Package natsbackplane joins the hubs of a mesh through NATS: see mesh.Options.Backplane.
//
//	conn, err := nats.Connect(url, natsbackplane.Settings)
//	…
//	hub, err := mesh.Listen(ctx, &mesh.Options{Backplane: natsbackplane.New(conn, nil)})
//	…
//	hub.Close()
//	conn.Close()
//
// The owner keeps the connection and closes it after the hub. The owner's handlers still get all errors and status
// changes: the backplane adds to the handlers and replaces none. Give each hub its own connection, made with Settings.
// Without nats.NoEcho, NATS sends a hub's own messages back to it, and the backplane drops them here. Such a hub never
// learns that no other hub has subscribed to a name if it has subscribed to the name itself. With nats.NoEcho, hubs
// that share a connection do not receive each other's messages.
//
// # Guarantees
//
// The backplane gives the guarantees of mesh.BackplaneMember through one server, a cluster of servers with routes, and
// leaf nodes. Package backplanetest checks them with one server and with three. In a supercluster, gateways join the
// servers, and subscriptions spread too late there for the guarantee to members that subscribe and then publish.
//
// Messages can be lost when the connection breaks, when NATS stalls or ends, and beyond the limits below. The backplane
// stores no messages for absent hubs.
//
// # Subjects
//
// The subject of an event is PREFIX.e and one token for each part of the event's name. So NATS sends an event only to
// hubs that have subscribed to it. Bytes other than letters, digits, "_" and "-" are written as "=" and two hexadecimal
// digits, and an empty part as "=". So every name works, two names never have the same subject, and NATS never
// interprets a part of a name. A part "*" is the "*" of NATS. A "**" at the end becomes the two subscriptions "…" and
// "….>". NATS cannot express a "**" elsewhere, so the hub gets all events whose names begin with the parts before it.
//
// In subjects a token "e", "h" or "i" of a prefix, after its first token, is written as "=e", "=h" or "=i". So no
// subject of a mesh is a subject of another mesh, even if one prefix is the beginning of the other, such as prod and
// prod.e. Versions before this rule wrote such a prefix without a change, and received events of the mesh with the
// shorter prefix. They do not meet hubs of this version under such a prefix. Under all other prefixes they do.
//
// Control messages between hubs use PREFIX.h. The "no responders" replies of NATS arrive under PREFIX.i. If NATS
// authenticates the hub as a user, the user needs permission to publish and to subscribe to PREFIX.>, with the prefix
// as written in subjects. The limit of a protocol line, max_control_line, should be at least 2 KiB; its default is 4
// KiB. If NATS rejects a line as too long, the hub halves the longest line that it sends. Events with longer names then
// fail with mesh.ErrTooLarge. A client with this permission can send messages in the name of any hub, so the members of
// a mesh must trust each other.
//
// # Order
//
// All subscriptions of a hub end in one channel, because NATS keeps the order of a connection, but not the order of
// several subscriptions. Each message has the ID of its hub and a sequence number, so the hub receives a message once,
// even if several subscriptions deliver it. The backplane drops a message that arrives after a later one of the same
// hub, which can happen after that hub has moved to another server.
//
// # Bounds
//
// Options.QueueLimit limits the messages that wait to be sent. Beyond it Publish returns mesh.ErrBackplaneFull.
// Options.ReceiveLimit limits the received messages that wait for the hub. Beyond it the backplane drops messages.
// Before that queue there are at most 131,072 messages, which a dedicated goroutine moves to it. Beyond them the NATS
// client drops messages and calls nats.ErrorHandler with nats.ErrSlowConsumer. The backplane counts dropped messages in
// Stats, and logs them at most once a second. A message and its header of 33 bytes must fit into the server's
// max_payload. Otherwise Publish returns mesh.ErrTooLarge. At the start and after each change, the log warns if
// max_payload is below Options.MaxMessage plus the header. The backplane tracks at most 1,024 messages in flight for
// "no responders".
//
// # Outages
//
// Methods of a member never wait for NATS. Three goroutines call the connection, which can block them while it writes
// or dials.
//
// While there is no connection, published messages wait in the queue. After a reconnect the hub has the subscriptions
// that are current at that moment. Other hubs may still be reconnecting then, and would miss messages that are sent
// before they are connected. So the hub waits 0.75 s more, which is enough for hubs that reconnect with Settings. Err
// reports within 4 s that NATS does not respond, and at once that the connection is lost. Err also reports that NATS
// denies a subject that the hub needs, and the log names each such subject once. The hub subscribes to a denied subject
// again every two seconds, so Err is nil within 5 s after NATS permits the subject.
//
// The NATS client closes a connection for good after some errors of the server, for example after a message above a
// reduced max_payload. The backplane then makes another connection with the same options and handlers, and later closes
// that one itself. It retries every 250 ms, without end and after every kind of failure. It does not replace a
// connection that the owner closes or drains while a hub uses it. Err then wraps mesh.ErrBackplaneClosed.
//
// The log shows each cause of an outage once, as a warning: for example that NATS rejects the hub, that credentials
// have expired, that there are too many open files, or that a name has no address. It shows the same cause again after
// a connection has lasted for 10 s. The connection needs Settings for causes that prevent the client from reaching
// NATS.
//
// Close ends within about 1 s. If NATS stalls longer than that, the three goroutines end when the connection releases
// them. nats.Options.FlusherTimeout bounds that time: 5 s with Settings, and a minute without.
package natsbackplane
