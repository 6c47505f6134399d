package natsbackplane

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// A message is a header and data: the version, the ID of the hub that has published it, and the number of the message
// among those of that hub.
const (
	version    = 1
	headerSize = 1 + len(origin{}) + 8
)

// origin is a hub's ID.
type origin [16]byte

var errOrigin = errors.New("natsbackplane: the ID of a hub has 32 hexadecimal digits")

func parseOrigin(hub string) (o origin, err error) {
	if len(hub) != hex.EncodedLen(len(o)) {
		return o, errOrigin
	}
	if _, err := hex.Decode(o[:], []byte(hub)); err != nil {
		return o, errOrigin
	}
	return o, nil
}

func (o origin) String() string { return hex.EncodeToString(o[:]) }

// pack puts the header before data, in memory of its own.
func pack(from origin, number uint64, data []byte) []byte {
	b := make([]byte, 0, headerSize+len(data))
	b = append(b, version)
	b = append(b, from[:]...)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, data...)
}

// unpack undoes pack; false if it is none of this version. data aliases body.
func unpack(body []byte) (from origin, number uint64, data []byte, ok bool) {
	if len(body) < headerSize || body[0] != version {
		return from, 0, nil, false
	}
	copy(from[:], body[1:])
	number = binary.BigEndian.Uint64(body[1+len(from):])
	return from, number, body[headerSize:], number > 0
}
