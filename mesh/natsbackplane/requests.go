package natsbackplane

import "sync"

// requests are messages of which the hub wants to know if nobody listens. NATS says so at once, or never: the oldest are
// forgotten when there are too many.
type requests struct {
	mu   sync.Mutex
	ring [maxRequests]request
	next int
}

type request struct {
	number  uint64
	unheard func()
}

func (r *requests) add(number uint64, unheard func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next] = request{number, unheard}
	r.next = (r.next + 1) % len(r.ring)
}

// unheard calls the function of a message, once.
func (r *requests) unheard(number uint64) {
	if f := r.remove(number); f != nil {
		f()
	}
}

func (r *requests) remove(number uint64) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ring { // the answer is as late as NATS is: a thousand at most
		if q := &r.ring[i]; q.number == number && q.unheard != nil {
			f := q.unheard
			*q = request{}
			return f
		}
	}
	return nil
}
