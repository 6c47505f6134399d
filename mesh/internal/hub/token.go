package hub

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/bigcompany/mesh/protocol"
)

var errToken = fmt.Errorf("only visible ASCII characters are possible, at most %d of them", protocol.MaxCredential)

// CheckToken returns an error if a token cannot be a credential.
func CheckToken(token string) error {
	if len(token) > protocol.MaxCredential || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errToken
	}
	return nil
}

// tokenOf returns the token of a request, or "".
func tokenOf(r *http.Request) string {
	const scheme = "bearer "
	var token string
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && strings.EqualFold(h[:len(scheme)], scheme) {
		token = strings.TrimSpace(h[len(scheme):])
	} else {
		token = r.URL.Query().Get("token")
	}
	if CheckToken(token) != nil {
		return ""
	}
	return token
}
