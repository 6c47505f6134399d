// Package natsbackplane joins the hubs of a mesh through NATS: see mesh.Options.Backplane.
//
//	conn, err := nats.Connect(url, nats.NoEcho(), nats.MaxReconnects(-1))
//	…
//	hub, err := mesh.Listen(ctx, &mesh.Options{Backplane: natsbackplane.New(conn, nil)})
//	…
//	hub.Close()
//	conn.Close()
//
// The connection remains its owner's, who closes it after the hubs, and whose handlers are told what NATS has to say. It
// should have NoEcho, without which NATS sends back what a hub publishes, to be dropped here, and a hub that listens to an
// event itself is not told that no other does. And it should reconnect for ever.
//
// # Subjects
//
// An event goes under PREFIX.e and one token for each part of its name, so that NATS brings it only to the hubs that have
// subscribed to it. Bytes other than letters, digits, "_" and "-" are written as "=" and two hexadecimal digits, an empty
// part as "=": any name works, and no two have the same subject. A part "*" is NATS' own "*". A "**" at the end is "…" and
// "….>"; elsewhere NATS cannot say it: the hub then gets all that begins alike. A name whose subject has more than 1,024
// bytes goes under PREFIX.l and its SHA-256, and every hub with a pattern gets it.
//
// What hubs say to each other goes under PREFIX.h, and answers of NATS that nobody listens come under PREFIX.i.
//
// # Order
//
// All subscriptions of a hub end in one channel, because one after another is the order of a connection, and not of several
// subscriptions. Each message has the ID of its hub and a number: what several subscriptions bring is received once.
//
// # Bounds
//
// Nothing waits for NATS but goroutines of this package. What waits to be sent is bounded by Options.QueueLimit, what was
// received and not dealt with by Options.ReceiveLimit, and besides there are at most 65,536 messages between the connection
// and that queue, which a goroutine moves there that does nothing else. A hub's messages have 64 KB, larger ones one event. Beyond that messages are dropped, counted and logged. While there is no connection, NATS' client keeps
// what is published, up to nats.Options.ReconnectBufSize (8 MiB), and sends it when it is back; beyond that it is dropped.
package natsbackplane
