package mesh

import "errors"

// Backplane joins hubs into one mesh: it carries what one of them publishes to those that have subscribed to it. What is
// carried is the hubs' own affair, see docs/cluster.md: to a backplane it is bytes.
//
// LocalBackplane joins the hubs of one process, package natsbackplane those of many machines. Package backplanetest has
// the tests that each implementation must pass.
type Backplane interface {
	// Join makes a hub a member. Its ID has 32 hexadecimal digits, and no two members have the same.
	//
	// receive gets what other members publish under names that this one has subscribed to, and from which member. It is
	// called by one goroutine at a time, maybe before Join has returned, and must not block for long. data is its own.
	Join(hub string, receive func(from string, data []byte)) (BackplaneMember, error)
}

// BackplaneMember is a hub's membership. Its methods may be called by any number of goroutines. None but Close waits for
// anything.
//
// Messages may be lost, and then are counted or logged by the backplane. None comes back to its publisher, and none comes
// twice, however many subscriptions match its name. What one member publishes, under whatever names, another receives in
// that order.
//
// If a member subscribes and then publishes, whoever has received that and then publishes under a name of that
// subscription is heard by the member.
type BackplaneMember interface {
	// Subscribe has the member receive what is published under these names and patterns, of which it has none already.
	// They are those of events, with parts between "::": in a pattern "*" is one part and "**" any number of parts, also
	// none, and never two "**" in a row. And names of the hubs' own, which have one part that starts with "$" and are
	// matched by no pattern. A backplane that cannot tell a pattern's names exactly may let the member receive more.
	Subscribe(patterns ...string)
	// Unsubscribe undoes Subscribe. What was published before may still be received.
	Unsubscribe(patterns ...string)

	// Publish sends data to the other members that have subscribed to the name: 1 to protocol.MaxName bytes of valid
	// UTF-8 in at most protocol.MaxParts parts, any characters. data belongs to the backplane from then on.
	//
	// unheard, unless nil, is called at most once, on any goroutine, also before Publish returns, if it becomes known that
	// no other member has subscribed to the name.
	//
	// It returns ErrBackplaneFull if too much waits to be sent, and ErrTooLarge if the backplane cannot carry so much at
	// once. Nobody receives it then.
	Publish(name string, data []byte, unheard func()) error

	// Err says why other members cannot be reached, and is nil when they can.
	Err() error
	// Close ends the membership. What was published before is sent first, within 1 s. Once it has returned, receive is
	// not running and is not called again. It must not be called by receive.
	Close() error
}

// ErrBackplaneClosed says that the other hubs cannot be reached until the hub starts again: its backplane has been closed by
// its owner, or has ended. BackplaneMember.Err, and so Node.Ready, wraps it then.
var ErrBackplaneClosed = errors.New("mesh: the backplane is closed")

// ErrBackplaneFull says that what waits to be sent to other hubs has reached its bound.
var ErrBackplaneFull = errors.New("mesh: too much waits to be sent to other hubs")
