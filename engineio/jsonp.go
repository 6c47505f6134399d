package engineio

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// JSONP is long-polling by browsers that can ask another origin by script tags and forms only. A poll is answered with a
// script that calls ___eio[N] with the payload as a string; a POST has the payload in the field d of a form. Binary is
// always base64.

// typeScript is what the answer to a poll is. Beside nosniff, no browser takes it for a page, whatever peers put into it.
const typeScript = "text/javascript; charset=UTF-8"

// asksJSONP tells whether a request is to be served by JSONP.
func asksJSONP(transport Transport, q url.Values) bool { return transport == Polling && q.Has("j") }

// script returns the answer to a poll that carries payload. The number of the function is that of the handshake, whatever
// later requests say, and nothing but its digits, since it is put into the script as it is.
func (s *Socket) script(payload []byte) []byte {
	digits := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s.opening.query().Get("j"))
	literal, err := json.Marshal(string(payload)) // escapes what ends a script, or a line in old ones: <, U+2028, U+2029
	if err != nil {
		panic("engineio: script: " + err.Error()) // a string
	}
	return append(append([]byte("___eio["+digits+"]("), literal...), ");"...)
}

// newlines undoes what clients do to the newlines of a payload, which a browser would change in a form: a newline comes
// as a backslash and an n, and these two come with one backslash more.
var newlines = strings.NewReplacer(`\\n`, `\n`, `\n`, "\n")

// formPayload returns the payload in a form's field d. ok is false, as in the reference, if there is not exactly one.
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
