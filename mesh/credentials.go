package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/bigcompany/mesh/protocol"
)

// Credentials are what a peer presents to a hub. They print and log without user, password and token.
type Credentials struct {
	User, Password string // empty if the peer gave none
	// Token is what the request that opened the session had in its header Authorization, as Bearer, or else in its query
	// as token, which is for browsers: they cannot set that header for a WebSocket, but servers like to log queries.
	Token      string
	Name       string // the peer's Options.Name; empty for peers that are not of this package
	RemoteAddr string // the address that it connected from, or that of a proxy in front of the hub
}

// String leaves out user, password and token.
func (c Credentials) String() string {
	return fmt.Sprintf("{name: %q, remote: %s}", c.Name, c.RemoteAddr)
}

// GoString returns String.
func (c Credentials) GoString() string { return c.String() }

// Format writes String, whatever the verb.
func (c Credentials) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(c.String())) }

// LogValue returns String.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns String, so that encoders of all kinds stay silent too.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Bearer returns an Authorize that admits who presents this token. It compares in constant time.
func Bearer(token string) func(context.Context, Credentials) error {
	want := sha256.Sum256([]byte(token))
	return func(_ context.Context, c Credentials) error {
		got := sha256.Sum256([]byte(c.Token))
		if c.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}

var errToken = fmt.Errorf("mesh: Token must be characters that one can see, at most %d", protocol.MaxCredential)

func checkToken(token string) error {
	if len(token) > protocol.MaxCredential || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errToken
	}
	return nil
}

// header returns what goes along with each request of a client; nil for nothing.
func (o *Options) header() http.Header {
	if o.Token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + o.Token}}
}

// tokenOf returns the token that came with a request.
func tokenOf(r *http.Request) string {
	const scheme = "bearer "
	var token string
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && strings.EqualFold(h[:len(scheme)], scheme) {
		token = strings.TrimSpace(h[len(scheme):])
	} else {
		token = r.URL.Query().Get("token")
	}
	if checkToken(token) != nil {
		return ""
	}
	return token
}

// Pair returns an Authorize that admits who presents this user and password. It compares in constant time.
func Pair(user, password string) func(context.Context, Credentials) error {
	// Digests are of one length: comparing the strings themselves would give away theirs.
	wantUser, wantPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return func(_ context.Context, c Credentials) error {
		gotUser, gotPassword := sha256.Sum256([]byte(c.User)), sha256.Sum256([]byte(c.Password))
		if subtle.ConstantTimeCompare(wantUser[:], gotUser[:])&subtle.ConstantTimeCompare(wantPassword[:], gotPassword[:]) == 1 {
			return nil
		}
		return ErrUnauthorized
	}
}
