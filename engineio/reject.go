package engineio

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// ConnectionError describes a request that a server rejected. The request was for a new session or for an existing one.
type ConnectionError struct {
	// Request is the request. Do not keep it.
	Request *http.Request
	// Code is the Engine.IO error code of the response (one of the Code… constants). It is -1 if the response had no
	// code, because the server is closed, the request is too large, or its address has too many unadmitted sessions.
	Code int
	// Message is the message of the response.
	Message string
	// Reason is not part of the response. It is the reference implementation's name of the error, such as
	// UNKNOWN_TRANSPORT, TRANSPORT_MISMATCH, INVALID_ORIGIN or ID_GENERATION_ERROR, usually followed by a colon and
	// details. It never contains a session ID.
	Reason string
}

func (e *ConnectionError) Error() string {
	return fmt.Sprintf("engineio: request rejected: %s (code %d): %s", e.Message, e.Code, e.Reason)
}

// Reasons that are used in more than one place.
const (
	// ReasonTooManySessions is the Reason of a ConnectionError if the client's address had Admission.SessionsPerAddr
	// unadmitted sessions. The client got status 503 with the header Retry-After.
	ReasonTooManySessions = "TOO_MANY_SESSIONS"

	reasonUnknownSID = "UNKNOWN_SID"
	reasonNotAllowed = "FORBIDDEN: AllowRequest"
)

var codeMessages = [...]string{
	CodeUnknownTransport:    "Transport unknown",
	CodeUnknownSession:      "Session ID unknown",
	CodeBadHandshakeMethod:  "Bad handshake method",
	CodeBadRequest:          "Bad request",
	CodeForbidden:           "Forbidden",
	CodeUnsupportedRevision: "Unsupported protocol version",
}

// reject responds with an error of the protocol: JSON for polling, plain text for a WebSocket handshake.
func (srv *Server) reject(w http.ResponseWriter, r *http.Request, code int, reason string) {
	srv.rejectWith(w, r, code, codeMessages[code], reason)
}

func (srv *Server) rejectWith(w http.ResponseWriter, r *http.Request, code int, message, reason string) {
	srv.report(r, code, message, reason)
	if isUpgrade(r) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/html")
		_ = srv.respond(w, http.StatusBadRequest, []byte(message)) // a broken connection ends by itself
		return
	}
	status := http.StatusBadRequest
	if code == CodeForbidden {
		status = http.StatusForbidden
	}
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message})
	if err != nil {
		panic("engineio: error body: " + err.Error()) // cannot happen for a struct of a string and a number
	}
	w.Header().Set("Content-Type", "application/json")
	_ = srv.respond(w, status, body) // a broken connection ends by itself
}

var errHeadersTooLarge = errors.New("request headers too large")

// rejectSession responds to a request for which open made no session.
func (srv *Server) rejectSession(w http.ResponseWriter, r *http.Request, err error) {
	e := notOpened(err)
	if e.Code >= 0 {
		srv.rejectWith(w, r, e.Code, e.Message, e.Reason)
		return
	}
	srv.report(r, e.Code, e.Message, e.Reason)
	status := http.StatusRequestHeaderFieldsTooLarge
	switch {
	case errors.Is(err, ErrServerClosed):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errCrowded):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfter)
	}
	srv.respondText(w, status, e.Message)
}

// notOpened converts an error of open to a ConnectionError without its request.
func notOpened(err error) ConnectionError {
	switch {
	case errors.Is(err, ErrServerClosed):
		return ConnectionError{Code: -1, Message: "server is shutting down", Reason: "SERVER_CLOSED"}
	case errors.Is(err, errCrowded):
		return ConnectionError{Code: -1, Message: err.Error(), Reason: ReasonTooManySessions}
	case errors.Is(err, errHeadersTooLarge):
		return ConnectionError{Code: -1, Message: err.Error(), Reason: "REQUEST_TOO_LARGE"}
	default:
		return ConnectionError{Code: CodeBadRequest, Message: codeMessages[CodeBadRequest], Reason: "ID_GENERATION_ERROR: " + err.Error()}
	}
}

// report calls OnConnectionError for a rejected request.
func (srv *Server) report(r *http.Request, code int, message, reason string) {
	if f := srv.opts.OnConnectionError; f != nil {
		f(&ConnectionError{Request: r, Code: code, Message: message, Reason: reason})
	}
}
