// Package receivelimit bounds the memory of large messages while they are received.
//
// A message grows in a buffer that [Enlarge] doubles. The first [Free] bytes need no permission. For more bytes the
// message makes a [Reservation] with the [Limit] of its server. When the limit is reached, all messages that must grow
// wait, except the message that began first. So that message is always finished, and then the next one. If the first
// message is not finished within [SlowSenderTimeout], it is evicted, and its session ends. Total memory is therefore
// bounded by the limit and one message.
//
// The frame layer, package wire, reserves memory for the messages on streams, and package engineio reserves memory for
// the bodies of POSTs. One goroutine owns a Reservation. Any number of goroutines may share a Limit, which has one lock
// and calls nothing while it holds that lock.
package receivelimit
