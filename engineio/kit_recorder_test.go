package engineio_test

import (
	"net/http"
	"slices"
	"sync"
)

// recorder collects values. Any number of goroutines may call its methods.
type recorder[T any] struct {
	mu  sync.Mutex
	all []T
}

func (r *recorder[T]) add(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, v)
}

// take returns the values since the last call.
func (r *recorder[T]) take() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.all = nil }()
	return r.all
}

// values returns all values.
func (r *recorder[T]) values() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.all)
}

// recordRequests returns a handler that records the requests in front of another handler.
func recordRequests(requests *recorder[*http.Request]) func(http.Handler) http.Handler {
	return intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		requests.add(r.Clone(r.Context()))
		return false
	})
}

// kindOf returns the kind of a request: GET, POST or websocket.
func kindOf(r *http.Request) string {
	if isUpgrade(r) {
		return "websocket"
	}
	return r.Method
}

// kinds returns how often each kind of request came.
func kinds(requests *recorder[*http.Request]) map[string]int {
	n := make(map[string]int)
	for _, r := range requests.values() {
		n[kindOf(r)]++
	}
	return n
}
