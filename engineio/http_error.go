package engineio

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// statusError is a response with an unexpected status.
type statusError struct {
	status  int
	code    int // the Engine.IO code, or -1
	message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered with HTTP status %d: %s", e.status, e.message)
}

func (e *statusError) handshakeError() *HandshakeError {
	return &HandshakeError{Status: e.status, Code: e.code, Message: e.message}
}

// errorBodyLimit bounds how much is read of an error's body, in bytes.
const errorBodyLimit = 4 << 10

func readStatus(resp *http.Response) *statusError {
	e := &statusError{status: resp.StatusCode, code: -1}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit)) // a part of the body is better than nothing
	var rejection struct {
		Code    *int
		Message string
	}
	if json.Unmarshal(body, &rejection) == nil && rejection.Code != nil {
		e.code, e.message = *rejection.Code, oneLine(rejection.Message)
		return e
	}
	if to := redirectOf(resp); to != "" {
		e.message = "a redirect to " + to
		return e
	}
	e.message = oneLine(string(body))
	if strings.HasPrefix(e.message, "<") { // an HTML page is not helpful in an error
		e.message = http.StatusText(resp.StatusCode) + " (a page of HTML)"
	}
	if code := slices.Index(codeMessages[:], e.message); code >= 0 {
		e.code = code // the response to a WebSocket handshake is plain text
	}
	if e.message == "" {
		e.message = http.StatusText(resp.StatusCode)
	}
	if e.code < 0 && resp.Request != nil && resp.Request.Response != nil {
		e.message += " (after a redirect to " + withoutQuery(resp.Request.URL) + ")"
	}
	return e
}

// oneLine returns the part of a server's text that an error shows: one line of at most 200 bytes and an ellipsis.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\ufffd")), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
