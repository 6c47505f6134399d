package mesh

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Credentials are what a peer presents to a hub. They print and log without the password.
type Credentials struct {
	User, Password string // empty if the peer gave none
	Name           string // the peer's Options.Name; empty for peers that are not of this package
	RemoteAddr     string // the address that it connected from, or that of a proxy in front of the hub
}

// String leaves out user and password.
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
