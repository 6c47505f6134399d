package engineio

import "sync/atomic"

// UpgradeMemory remembers whether a WebSocket to a server works, so that the next session with that server can start on
// a WebSocket and save the round trips of an upgrade. A session that opens on a WebSocket, or moves to one, sets the
// memory. A session that fails on a WebSocket clears it. The zero value is empty. Use one memory for each server. Any
// number of goroutines and sessions may use it at once.
type UpgradeMemory struct{ webSocket atomic.Bool }

func (m *UpgradeMemory) remembers() bool { return m != nil && m.webSocket.Load() }

func (m *UpgradeMemory) set(works bool) {
	if m != nil {
		m.webSocket.Store(works)
	}
}
