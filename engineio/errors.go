package engineio

import (
	"errors"
	"fmt"
	"net"
)

// The reasons for which a session ends, word for word those of the Node.js implementation.
const (
	ReasonTransportError = "transport error" // the connection failed, or the peer broke the protocol of the transport
	ReasonTransportClose = "transport close" // the peer closed
	ReasonPingTimeout    = "ping timeout"    // the peer was silent for too long
	ReasonParseError     = "parse error"     // the peer sent what is no packet
	ReasonForcedClose    = "forced close"    // this side closed
)

// Errors of sessions. They come wrapped; compare with errors.Is.
var (
	// ErrQueueFull says that a message did not fit into the socket's queue, or that it is larger than what all sockets of a
	// server may queue. The message was not sent; the session lives on.
	ErrQueueFull = errors.New("engineio: queue full")
	// ErrBufferLimit is why a server ended a session when ServerOptions.BufferLimit was spent.
	ErrBufferLimit = errors.New("engineio: BufferLimit was spent, and this session's queue was the fullest and had waited the longest")
	// ErrTooLarge says that a message is larger than MaxPayload: the peer sent it, and the session has ended; or a client
	// was to write it, MaxPayload is what the server announced, the message was not sent and the session lives on.
	ErrTooLarge = errors.New("engineio: message larger than MaxPayload")
	// ErrInvalidText says that a text message is not valid UTF-8. Send it as a binary one.
	ErrInvalidText = errors.New("engineio: text message is not valid UTF-8")
	// ErrSeparator says that a text message contains U+001E, which revision 4 cannot carry by polling: the peer would
	// take it for several packets. Send it as a binary message, or on a WebSocket.
	ErrSeparator = errors.New("engineio: text with U+001E cannot be sent by polling in revision 4; send it as binary")
	// ErrEmptyBinary says that a binary message has no bytes, for which WebTransport has no frame. Send an empty text.
	// While one is queued, a session does not move to WebTransport.
	ErrEmptyBinary = errors.New("engineio: a binary message without bytes cannot be sent by WebTransport")
	// ErrConcurrentRead says that a second goroutine called Read while one was in it.
	ErrConcurrentRead = errors.New("engineio: Read called by two goroutines at once")
	// ErrUnadmitted says that the peer sent more than the server reads of a session before Socket.SetAdmitted. The
	// session stays open.
	ErrUnadmitted = errors.New("engineio: the peer sent more than 64 KB before the handler admitted it")
	// ErrServerClosed is why a session ended, or was refused, when its server was shut down.
	ErrServerClosed = errors.New("engineio: server closed")
)

// CloseError says why a session ended. It matches net.ErrClosed.
type CloseError struct {
	// Reason is one of the Reason… constants.
	Reason string
	// Remote is true if the peer ended the session, or caused its end.
	Remote bool
	// Err is the cause where there is more to say than Reason does; nil otherwise.
	Err error
}

func (e *CloseError) Error() string {
	side := "locally"
	if e.Remote {
		side = "by the peer"
	}
	if e.Err != nil {
		return fmt.Sprintf("engineio: session ended %s: %s: %v", side, e.Reason, e.Err)
	}
	return fmt.Sprintf("engineio: session ended %s: %s", side, e.Reason)
}

// failed reports whether the session ended because its connection did not work any more.
func (e *CloseError) failed() bool {
	return e.Reason == ReasonTransportError || e.Reason == ReasonPingTimeout
}

// Unwrap gives the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// Is makes every CloseError match net.ErrClosed.
func (e *CloseError) Is(target error) bool { return target == net.ErrClosed }

// The error codes of Engine.IO, as they stand in the JSON body of a refused request.
const (
	CodeUnknownTransport    = 0
	CodeUnknownSession      = 1
	CodeBadHandshakeMethod  = 2
	CodeBadRequest          = 3
	CodeForbidden           = 4
	CodeUnsupportedRevision = 5
)

// HandshakeError says what a server answered instead of opening a session.
type HandshakeError struct {
	// Status is the HTTP status; 0 if what answered was no HTTP error.
	Status int
	// Code is the Engine.IO error code (one of the Code… constants), or -1 if the answer held none, which means
	// that no Engine.IO server was reached.
	Code int
	// Message is the server's message, or a description of what answered.
	Message string
}

func (e *HandshakeError) Error() string {
	if e.Code < 0 {
		if e.Status == 0 {
			return "engineio: no Engine.IO server answered: " + e.Message
		}
		return fmt.Sprintf("engineio: no Engine.IO server answered: HTTP status %d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("engineio: handshake refused: %s (code %d, HTTP status %d)", e.Message, e.Code, e.Status)
}
