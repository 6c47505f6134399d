package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

var (
	errIDInUse   = errors.New("a session has this ID already")
	errInvalidID = errors.New("an ID has one character at least, of A to Z, a to z, 0 to 9, _ and -")
)

// newID returns the ID of the session that r opens.
func (srv *Server) newID(r *http.Request) (string, error) {
	if srv.opts.GenerateID == nil {
		return newSID(), nil
	}
	id, err := srv.opts.GenerateID(r)
	if err == nil && !validID(id) {
		err = errInvalidID
	}
	return id, err
}

// newSID returns 144 random bits. A session ID must be hard to guess, since it is a request's only credential.
func newSID() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// validID reports whether id may appear unescaped in a URL, in a cookie and in JSON.
func validID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return id != "" && strings.Trim(id, alphabet) == ""
}
