package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
)

// Credentials are the data by which a peer identifies itself to a hub. They print and log without user, password and
// token.
type Credentials struct {
	User, Password string // empty if the peer gave none
	// Token is the Bearer token of the header Authorization in the request that opened the session. Without that
	// header, it is the query parameter token of the request. The parameter is for browsers, which cannot set the
	// header for a WebSocket, but many servers log queries.
	Token      string
	Name       string // the peer's Options.Name; empty for peers that are not of this package
	RemoteAddr string // the address of the peer, or of a proxy in front of the hub
}

// String omits user, password and token.
func (c Credentials) String() string {
	return fmt.Sprintf("{name: %q, remote: %s}", c.Name, c.RemoteAddr)
}

// Format writes String for every verb.
func (c Credentials) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(c.String())) }

// MarshalText returns String, so that encoders also omit user, password and token.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// BearerAuth returns an Authorize function that admits peers with this token. It compares in constant time.
func BearerAuth(token string) func(context.Context, Credentials) error {
	want := sha256.Sum256([]byte(token))
	return func(_ context.Context, c Credentials) error {
		got := sha256.Sum256([]byte(c.Token))
		if c.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}

// header returns the header of each request of a client, or nil.
func (o *Options) header() http.Header {
	if o.Token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + o.Token}}
}

// BasicAuth returns an Authorize function that admits peers with this user and password. It compares in constant time.
func BasicAuth(user, password string) func(context.Context, Credentials) error {
	// Digests have equal lengths. A comparison of the strings would reveal their lengths.
	wantUser, wantPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return func(_ context.Context, c Credentials) error {
		gotUser, gotPassword := sha256.Sum256([]byte(c.User)), sha256.Sum256([]byte(c.Password))
		if subtle.ConstantTimeCompare(wantUser[:], gotUser[:])&subtle.ConstantTimeCompare(wantPassword[:], gotPassword[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}
