package wire

import (
	"crypto/rand"
	"encoding/hex"
)

// NewID returns 128 random bits in hexadecimal: the ID of a hub, the ID of a peer that offers no key, or a key.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
