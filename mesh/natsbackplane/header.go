package natsbackplane

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// A message is a header and data. The header has the version, the membership that published the message, and the
// sequence number of the message within that membership, from 1.
const (
	version    = 1
	headerSize = 1 + 16 + 8 + 8
	// maxNumber is the largest valid sequence number. No member can reach it by counting.
	maxNumber = 1<<63 - 1
)

// hubID is a hub's ID.
type hubID [16]byte

// source is a membership of a hub. Each membership has a random number, because a hub that leaves and returns counts
// from 1 again. The random number also prevents an attack: a client that cannot see a hub's messages cannot block them
// with a forged message with a higher sequence number.
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
	_, _ = rand.Read(life[:]) // never fails
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

// parseMessage undoes appendMessage. It returns false for data that is not a message of this version. data aliases
// body.
func parseMessage(body []byte) (from source, number uint64, data []byte, ok bool) {
	if len(body) < headerSize || body[0] != version {
		return from, 0, nil, false
	}
	copy(from.hub[:], body[1:])
	from.life = binary.BigEndian.Uint64(body[17:])
	number = binary.BigEndian.Uint64(body[25:])
	return from, number, body[headerSize:], 0 < number && number <= maxNumber
}
