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
	// maxSeq is the largest valid sequence number. No member can reach it by counting.
	maxSeq = 1<<63 - 1
)

// hubID is a hub's ID.
type hubID [16]byte

// source is a membership of a hub. Each membership has a random incarnation, because a hub that leaves and returns
// counts from 1 again. The random number also prevents an attack: a client that cannot see a hub's messages cannot
// block them with a forged message with a higher sequence number.
type source struct {
	hub         hubID
	incarnation uint64
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
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return source{hub, binary.BigEndian.Uint64(random[:])}
}

// appendMessage appends a header and data.
func appendMessage(b []byte, from source, seq uint64, data []byte) []byte {
	b = append(b, version)
	b = append(b, from.hub[:]...)
	b = binary.BigEndian.AppendUint64(b, from.incarnation)
	b = binary.BigEndian.AppendUint64(b, seq)
	return append(b, data...)
}

// parseMessage undoes appendMessage. It returns false for data that is not a message of this version. data aliases
// body.
func parseMessage(body []byte) (from source, seq uint64, data []byte, ok bool) {
	if len(body) < headerSize || body[0] != version {
		return from, 0, nil, false
	}
	copy(from.hub[:], body[1:])
	from.incarnation = binary.BigEndian.Uint64(body[17:])
	seq = binary.BigEndian.Uint64(body[25:])
	return from, seq, body[headerSize:], 0 < seq && seq <= maxSeq
}
