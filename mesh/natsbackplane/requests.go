package natsbackplane

import "sync"

// maxRequests is how many messages may be under way of which the hub wants to know if nobody listens. NATS says so at
// once, or never: the oldest are forgotten.
const maxRequests = 1024

// requests are these messages, by a number of their own, modulo maxRequests.
type requests struct {
	mu   sync.Mutex
	last uint64
	ring [maxRequests]request
}

type request struct {
	number  uint64
	unheard func()
}

// add returns the number of a request.
func (r *requests) add(unheard func()) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.ring[r.last%maxRequests] = request{r.last, unheard}
	return r.last
}

// take returns what is to be called for a request, once; nil if it is not known, or no longer.
func (r *requests) take(number uint64) (unheard func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := &r.ring[number%maxRequests]; q.number == number {
		unheard, q.unheard = q.unheard, nil
	}
	return unheard
}
