package engineio

import "sync/atomic"

// TransportHint records whether a WebSocket to a server works, so that the next session with that server can start on a
// WebSocket and save the round trips of an upgrade. A session that opens on a WebSocket, or moves to one, sets the
// hint. A session that fails on a WebSocket clears it. The zero value is clear. Use one hint for each server. Any
// number of goroutines and sessions may use it at once.
type TransportHint struct{ webSocket atomic.Bool }

func (h *TransportHint) webSocketWorks() bool { return h != nil && h.webSocket.Load() }

func (h *TransportHint) record(works bool) {
	if h != nil {
		h.webSocket.Store(works)
	}
}
