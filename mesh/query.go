package mesh

import (
	"encoding/json"
	"errors"
)

// failure is the response to a query that fails.
type failure struct {
	RID     json.RawMessage `json:"rid,omitempty"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
}

// Error codes on the wire.
const (
	codeBadQuestion  = "bad-question"
	codeNotPermitted = "not-permitted"
	codeUnknownNode  = "unknown-node"
	codeTooMany      = "too-many-watchers"
	codeUnanswered   = "unanswered"
)

var errQuestion = errors.New("mesh: the hub did not understand the request")
