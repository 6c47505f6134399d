package mesh

import "errors"

// Backplane joins hubs into one mesh: it carries the messages of each hub to the hubs that have subscribed to them. For
// a backplane, messages are bytes. docs/cluster.md describes their format.
//
// LocalBackplane joins the hubs of one process, and package natsbackplane joins the hubs of many machines. Package
// backplanetest has the tests that every implementation must pass.
type Backplane interface {
	// Join makes a hub a member. hub is its ID, 32 hexadecimal digits, which is unique among the members.
	//
	// receive is called with each message that another member publishes under a name that this member has subscribed
	// to, and with the ID of the publishing member. The backplane calls receive from one goroutine at a time, possibly
	// before Join has returned. receive must not block for long. It owns data.
	Join(hub string, receive func(from string, data []byte)) (BackplaneMember, error)
}

// BackplaneMember is a hub's membership. Any number of goroutines may call its methods. Only Close may block.
//
// A backplane may lose messages, and then counts or logs them. A message never returns to its publisher. A member
// receives a message only once, even if several of its subscriptions match the name. A member receives the messages of
// one publisher in the order of publishing, under all names.
//
// Subscribe takes effect before a later Publish of the same member: another member that has received the published
// message, and then publishes under a name of the subscription, reaches the subscriber.
type BackplaneMember interface {
	// Subscribe adds subscriptions to names and patterns. The member has no subscription to any of them yet. They have
	// the form of event names, with "::" between the parts. In a pattern "*" matches one part, and "**" matches any
	// number of parts, including none; a pattern never has two "**" in a row. Hubs also use private names, which have
	// one part that starts with "$" and which no pattern matches. A backplane that cannot match a pattern exactly may
	// let the member receive more.
	Subscribe(patterns ...string)
	// Unsubscribe undoes Subscribe. The member may still receive messages that were published before.
	Unsubscribe(patterns ...string)

	// Publish sends data to the other members that have subscribed to name. The name is valid UTF-8 of 1 to
	// protocol.MaxName bytes and at most protocol.MaxParts parts, with any characters. The backplane owns data after
	// the call.
	//
	// If unheard is not nil and it becomes known that no other member has subscribed to name, the backplane calls
	// unheard. It calls unheard at most once, on any goroutine, possibly before Publish returns.
	//
	// The error is ErrBackplaneFull if too many messages are queued, and ErrTooLarge if the backplane cannot carry a
	// message of this size. No member receives the message then.
	Publish(name string, data []byte, unheard func()) error

	// Err returns the reason why other members cannot be reached, or nil.
	Err() error
	// Close ends the membership. It first sends the messages that were published before, within 1 s. After Close has
	// returned, receive is not running and is not called again. receive must not call Close.
	Close() error
}

// ErrBackplaneClosed reports that the other hubs cannot be reached until the hub starts again: the owner has closed its
// backplane, or the backplane has ended. The errors of BackplaneMember.Err and Node.Ready then wrap it.
var ErrBackplaneClosed = errors.New("mesh: the backplane is closed")

// ErrBackplaneFull reports that the queue of messages for other hubs is full.
var ErrBackplaneFull = errors.New("mesh: the queue for other hubs is full")
