package engineio

import "sync/atomic"

// UpgradeMemory remembers whether a server was reached with a WebSocket, so that the next session with it can start there
// and save the round trips of an upgrade. A session that opened on a WebSocket or moved to one is remembered; one that
// failed there makes it forget. The zero value remembers nothing. Sessions with one server share one memory; its use by
// many at once is safe.
type UpgradeMemory struct{ webSocket atomic.Bool }

func (m *UpgradeMemory) remembers() bool { return m != nil && m.webSocket.Load() }

func (m *UpgradeMemory) set(works bool) {
	if m != nil {
		m.webSocket.Store(works)
	}
}
