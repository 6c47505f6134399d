package engineio

import (
	"context"
	"io"
	"slices"

	"golang.org/x/sync/semaphore"
)

// freeInput is what a message, or the body of a POST, may take while it is received without waiting for its turn, and how
// far memory for it may run ahead of what has come, in bytes.
const freeInput = 32 << 10

// receiveLimit bounds what large messages hold together while they are being received. Each asks once, for all that it may
// become, so that no two can wait for each other, and gets its memory at once, so that growing leaves no garbage behind. The nil
// limit is without bound.
type receiveLimit struct {
	room  *semaphore.Weighted
	limit int64
}

func newReceiveLimit(n int64) *receiveLimit {
	return &receiveLimit{semaphore.NewWeighted(n), n}
}

// enter waits until there is room for n bytes, or for as much as there can be. It returns what to call when they are received.
func (l *receiveLimit) enter(ctx context.Context, n int) (leave func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	weight := min(int64(n), l.limit)
	if err := l.room.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	return func() { l.room.Release(weight) }, nil
}

// readBody reads all of r. Memory grows with what arrives. When that is more than freeInput, large is called, once, and says
// for how many bytes in all there is room now.
func readBody(r io.Reader, large func() (room int, err error)) ([]byte, error) {
	var body []byte
	for {
		if len(body) > freeInput && large != nil {
			room, err := large()
			if err != nil {
				return nil, err
			}
			large = nil
			body = slices.Grow(body, max(0, room-len(body))+1) // one more, to see the end without growing
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, max(512, min(len(body), 256<<10)))
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
