// Package natsbackplane joins the hubs of a mesh through NATS: see mesh.Options.Backplane.
//
//	conn, err := nats.Connect(url, natsbackplane.Settings)
//	…
//	hub, err := mesh.Listen(ctx, &mesh.Options{Backplane: natsbackplane.New(conn, nil)})
//	…
//	hub.Close()
//	conn.Close()
//
// The connection remains its owner's, who closes it after the hub. Its handlers still get all errors and changes: the backplane
// adds to them and replaces none. Each hub should have a connection of its own, made with Settings. Without nats.NoEcho NATS
// sends back what a hub publishes, to be dropped here, and a hub that has subscribed to a name is never told that nobody else
// has. With it, hubs that share a connection do not hear each other.
//
// # Guarantees
//
// Those of mesh.BackplaneMember, through one server, a cluster of servers with routes, and leaf nodes; package backplanetest
// checks them with one server and with three. A supercluster, whose servers are joined by gateways, learns of subscriptions
// too late for what mesh.BackplaneMember says of members that subscribe and then publish.
//
// Messages can be lost when the connection breaks, when NATS stalls or ends, and beyond the bounds below. None is kept for
// those who are away.
//
// # Subjects
//
// An event goes under PREFIX.e and one token for each part of its name, so that NATS brings it only to the hubs that have
// subscribed to it. Bytes other than letters, digits, "_" and "-" are written as "=" and two hexadecimal digits, an empty
// part as "=": any name works, no two have the same subject, and none means more to NATS than itself. A part "*" is NATS'
// own "*". A "**" at the end is "…" and "….>"; elsewhere NATS cannot say it, and the hub gets all that begins alike.
//
// In subjects a token "e", "h" or "i" of a prefix, after its first one, is written as "=e", "=h" or "=i". So no subject of a mesh
// is one of another mesh, also if one prefix is the beginning of the other, such as prod and prod.e. Versions
// before this rule wrote such a prefix as it is, and got events of the mesh with the shorter one. They do not meet hubs of this
// version under such a prefix; under all other prefixes they do.
//
// What hubs say to each other goes under PREFIX.h, and NATS' answers that nobody listens come under PREFIX.i. A hub that
// NATS knows as a user needs permission to publish and to subscribe to PREFIX.>, with the prefix as in subjects; the bound of a line, max_control_line, should
// be 2 KiB or more, and is 4 KiB by default. If NATS rejects a line as too long, the hub halves the longest line that it
// sends: events with longer names are mesh.ErrTooLarge from then on. Whoever has this permission can say anything in the name of any hub: the
// members of a mesh trust each other.
//
// # Order
//
// All subscriptions of a hub end in one channel, because one after another is the order of a connection, and not of several
// subscriptions. Each message has the ID of its hub and a number: what several subscriptions bring is received once. A
// message that comes after a later one, because its hub has changed to another server, is dropped.
//
// # Bounds
//
// What waits to be sent is bounded by Options.QueueLimit; beyond it Publish returns mesh.ErrBackplaneFull. What was received
// and not dealt with is bounded by Options.ReceiveLimit; beyond it messages are dropped. Before that queue there are at most
// 131,072 messages, which a goroutine moves that does nothing else; beyond them NATS' client drops messages and calls
// nats.ErrorHandler with nats.ErrSlowConsumer. What is dropped is counted in Stats, and logged, at most a line a second. A
// message must fit into the server's max_payload with 33 bytes besides, else it is mesh.ErrTooLarge. The log warns at the
// start, and after each change, if max_payload is below Options.MaxMessage. Of 1,024 messages at
// a time it is known whether nobody listens.
//
// # Outages
//
// Methods of a member wait for nothing but memory. Three goroutines call the connection, which can hold them up while it
// writes or dials.
//
// While there is no connection, what is published waits in the queue, and subscriptions are those of the moment when it is
// back. Then others may still be on their way to a server, and what is sent before they are there is lost: so it waits for
// 0.75 s more, which is enough for those who reconnect as Settings has it. Err says within 4 s that NATS does not answer,
// and at once that the connection is lost. It also says when NATS does not permit a subject that the hub needs; the log names each
// such subject once. The hub subscribes to a denied subject again every two seconds, so Err is nil within 5 s after NATS
// permits the subject.
//
// NATS' client closes a connection for good after some errors of the server, such as a message above a max_payload that was
// reduced. The backplane then makes another connection with the same options and handlers, and closes that one itself. It
// tries again without end, every 250 ms, whatever the reason of a failure is. Only if the owner closes or drains the
// connection while a hub uses it, there is no other connection, and Err wraps mesh.ErrBackplaneClosed.
//
// The log shows each cause of an outage once, as a warning: that NATS rejects the hub, that credentials have expired, that
// there are too many open files, that a name has no address. It shows the same cause again after a connection has
// lasted for 10 s. Settings is needed for causes that keep the client from reaching NATS.
//
// Close ends within about 1 s. If NATS is stalled so long, the three goroutines end when the connection lets them:
// nats.Options.FlusherTimeout bounds that, which is 5 s with Settings and a minute without.
package natsbackplane
