package engineio

import (
	"errors"
	"fmt"
	"net"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// The close reasons of a session. They are the same words as in the Node.js implementation.
const (
	ReasonTransportError = "transport error" // the connection failed, or the peer broke the protocol of the transport
	ReasonTransportClose = "transport close" // the peer closed
	ReasonPingTimeout    = "ping timeout"    // the peer was silent for too long
	ReasonParseError     = "parse error"     // the peer sent data that is not a packet
	ReasonForcedClose    = "forced close"    // this side closed
)

// Errors of sessions. They may be wrapped; compare with errors.Is.
var (
	// ErrQueueFull means that a message did not fit into the socket's queue, or that it is larger than BufferLimit,
	// which bounds the queues of all sockets of a server. The message was not sent, and the session continues.
	ErrQueueFull = errors.New("engineio: queue full")
	// ErrBufferLimit is the error of a session that the server ended because ServerOptions.BufferLimit was spent.
	ErrBufferLimit = errors.New("engineio: BufferLimit was spent, and this session's queue was the fullest and had waited the longest")
	// ErrTooLarge means that a message is larger than MaxPayload. If the peer sent the message, the session has ended.
	// If a client tried to write it, MaxPayload is the server's limit, the message was not sent, and the session
	// continues.
	ErrTooLarge = wire.ErrTooLarge
	// ErrInvalidText means that a text message is not valid UTF-8. Send it as a binary message.
	ErrInvalidText = wire.ErrInvalidText
	// ErrSeparator means that a text message contains U+001E, which revision 4 cannot carry by polling: the peer would
	// read it as several packets. Send it as a binary message, or on a WebSocket.
	ErrSeparator = errors.New("engineio: text with U+001E cannot be sent by polling in revision 4; send it as binary")
	// ErrEmptyBinary means that a binary message has no bytes. WebTransport has no frame for it. Send an empty text
	// instead. A session does not move to WebTransport while such a message is queued.
	ErrEmptyBinary = errors.New("engineio: a binary message without bytes cannot be sent by WebTransport")
	// ErrConcurrentRead means that a goroutine called Read while another goroutine was in Read.
	ErrConcurrentRead = errors.New("engineio: Read called by two goroutines at once")
	// ErrUnadmitted means that the peer sent more than the server reads of a session before Socket.SetAdmitted. The
	// session stays open, but the peer can no longer be admitted: see Admission.
	ErrUnadmitted = errors.New("engineio: the peer sent more than 64 KB before the handler admitted it")
	// ErrServerClosed means that a server ended or rejected a session because the server was shut down.
	ErrServerClosed = errors.New("engineio: server closed")
)

// CloseError reports why a session ended. It matches net.ErrClosed.
type CloseError struct {
	// Reason is one of the Reason… constants.
	Reason string
	// Remote is true if the peer ended the session, or caused its end.
	Remote bool
	// Err is the cause, if there is more information than Reason; otherwise it is nil.
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

// failed reports whether the session ended because its connection failed.
func (e *CloseError) failed() bool {
	return e.Reason == ReasonTransportError || e.Reason == ReasonPingTimeout
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// Is makes every CloseError match net.ErrClosed.
func (e *CloseError) Is(target error) bool { return target == net.ErrClosed }

// The error codes of Engine.IO, as they appear in the JSON body of the response to a rejected request.
const (
	CodeUnknownTransport    = 0
	CodeUnknownSession      = 1
	CodeBadHandshakeMethod  = 2
	CodeBadRequest          = 3
	CodeForbidden           = 4
	CodeUnsupportedRevision = 5
)

// HandshakeError describes a response that did not open a session.
type HandshakeError struct {
	// Status is the HTTP status. It is 0 if the failure did not come as an HTTP response.
	Status int
	// Code is the Engine.IO error code (one of the Code… constants). It is -1 if the response had no code, which means
	// that it did not come from an Engine.IO server, or that the server was closed or had reached a limit.
	Code int
	// Message is the server's message, or a description of the response.
	Message string
}

func (e *HandshakeError) Error() string {
	if e.Code < 0 {
		if e.Status == 0 {
			return "engineio: no Engine.IO server answered: " + e.Message
		}
		return fmt.Sprintf("engineio: no Engine.IO server answered: HTTP status %d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("engineio: handshake rejected: %s (code %d, HTTP status %d)", e.Message, e.Code, e.Status)
}
