package natsbackplane

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// A message is a header and data: the version, the membership that has published it, and the number of the message among
// those of that membership, from 1.
const (
	version    = 1
	headerSize = 1 + 16 + 8 + 8
	// maxNumber bounds the numbers: what is beyond has not been counted to.
	maxNumber = 1<<63 - 1
)

// hubID is a hub's ID.
type hubID [16]byte

// source is a membership of a hub. One that leaves and comes back begins to count again, so each has a random number too.
// It also keeps those who see no messages from publishing ones that silence a hub, by a number that is higher than its.
type source struct {
	hub  hubID
	life uint64
}

var errHubID = errors.New("natsbackplane: the ID of a hub has 32 hexadecimal digits, in lower case")

func parseHubID(hub string) (id hubID, err error) {
	if len(hub) != hex.EncodedLen(len(id)) {
		return id, errHubID
	}
	if _, err := hex.Decode(id[:], []byte(hub)); err != nil || id.String() != hub {
		return id, errHubID
	}
	return id, nil
}

func (id hubID) String() string { return hex.EncodeToString(id[:]) }

func newSource(hub hubID) source {
	var life [8]byte
	_, _ = rand.Read(life[:]) // it never fails
	return source{hub, binary.BigEndian.Uint64(life[:])}
}

// appendMessage appends a header and data.
func appendMessage(b []byte, from source, number uint64, data []byte) []byte {
	b = append(b, version)
	b = append(b, from.hub[:]...)
	b = binary.BigEndian.AppendUint64(b, from.life)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, data...)
}

// parseMessage undoes appendMessage; false if it is no message of this version. data aliases body.
func parseMessage(body []byte) (from source, number uint64, data []byte, ok bool) {
	if len(body) < headerSize || body[0] != version {
		return from, 0, nil, false
	}
	copy(from.hub[:], body[1:])
	from.life = binary.BigEndian.Uint64(body[17:])
	number = binary.BigEndian.Uint64(body[25:])
	return from, number, body[headerSize:], 0 < number && number <= maxNumber
}
