package natsbackplane

import "sync"

// maxRequests is the number of messages in flight that are tracked for unheard. NATS reports "no responders" at once or
// never, so the oldest are forgotten.
const maxRequests = 1024

// requests are these messages, by a separate number, modulo maxRequests.
type requests struct {
	mu         sync.Mutex
	lastNumber uint64
	ring       [maxRequests]request
}

type request struct {
	number  uint64
	unheard func()
}

// add returns the number of a request.
func (r *requests) add(unheard func()) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastNumber++
	r.ring[r.lastNumber%maxRequests] = request{r.lastNumber, unheard}
	return r.lastNumber
}

// take returns the unheard function of a request, once; nil if the request is unknown or forgotten.
func (r *requests) take(number uint64) (unheard func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := &r.ring[number%maxRequests]; q.number == number {
		unheard, q.unheard = q.unheard, nil
	}
	return unheard
}
