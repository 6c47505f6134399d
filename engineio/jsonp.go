package engineio

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// JSONP is long-polling for browsers that can send requests to another origin only by script tags and forms. The
// response to a poll is a script that calls ___eio[N] with the payload as a string. A POST has the payload in the field
// d of a form. Binary messages are always base64.

// typeScript is the content type of the response to a poll. Together with nosniff it keeps browsers from reading the
// response as a page, whatever data peers put into it.
const typeScript = "text/javascript; charset=UTF-8"

// asksJSONP reports whether a request asks for JSONP.
func asksJSONP(transport Transport, q url.Values) bool { return transport == Polling && q.Has("j") }

// script returns the response to a poll that carries payload. The function's number comes from the handshake, not from
// later requests. Only its digits are used, because script writes it into the script without escaping.
func (s *Socket) script(payload []byte) []byte {
	digits := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s.savedRequest.query().Get("j"))
	literal, err := json.Marshal(string(payload)) // escapes <, U+2028 and U+2029, which end a script or, in old browsers, a line
	if err != nil {
		panic("engineio: script: " + err.Error()) // cannot happen for a string
	}
	return append(append([]byte("___eio["+digits+"]("), literal...), ");"...)
}

// newlines reverses the escaping of newlines by clients. Browsers would change a newline in a form, so clients send a
// newline as \n in two characters, and these two characters with one more backslash.
var newlines = strings.NewReplacer(`\\n`, `\n`, `\n`, "\n")

// formPayload returns the payload in a form's field d. As in the reference, ok is false unless there is exactly one
// such field.
func formPayload(form []byte) (payload []byte, ok bool, err error) {
	var value string
	n := 0
	for field := range bytes.SplitSeq(form, []byte("&")) {
		if v, found := bytes.CutPrefix(field, []byte("d=")); found {
			value = string(v)
			n++
		}
	}
	if n != 1 {
		return nil, false, nil
	}
	value, err = url.QueryUnescape(value)
	return []byte(newlines.Replace(value)), true, err
}
