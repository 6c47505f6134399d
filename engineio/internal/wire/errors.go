package wire

import (
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// Fault is the kind of an [Error].
type Fault uint8

// The faults.
const (
	Violation Fault = iota // the peer broke the protocol of the transport
	Malformed              // the peer sent data that is not a packet
	Closed                 // the peer closed the stream in good order
)

// String returns the session's close reason for this fault.
func (f Fault) String() string {
	switch f {
	case Malformed:
		return "parse error"
	case Closed:
		return "transport close"
	default:
		return "transport error"
	}
}

// Error is the error of a stream whose peer must get a close frame: after a fault of the peer, or after its close
// frame.
type Error struct {
	Code  ws.StatusCode // of the close frame; 0 for a close frame without a code
	Fault Fault
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Fault, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ErrCloseFrame is for End: the peer of a WebSocket gets a close frame without a code, although it is not at fault.
var ErrCloseFrame error = &Error{Err: errors.New("engineio: this side closed the WebSocket")}

// Errors of streams. Package engineio exports the first two.
var (
	ErrTooLarge    = errors.New("engineio: message larger than MaxPayload")
	ErrInvalidText = errors.New("engineio: text message is not valid UTF-8")

	errPeerClosed  = errors.New("engineio: the peer closed the WebSocket")
	errFrameLength = errors.New("engineio: a frame of WebTransport has no valid length")
)
