package uplink

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// watches returns whether the hub must report presence changes to this node.
func (u *Uplink) watches() *bool {
	watches := u.conf.Local.WatchesPresence()
	return &watches
}

// WatchPresence is called when the node has got its first listener for joins and leaves, or lost its last one.
func (u *Uplink) WatchPresence() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.startWatch()
}

// startWatch starts a goroutine that turns the hub's presence reports on or off, if they are not as the node needs
// them. The caller holds u.mu.
func (u *Uplink) startWatch() {
	if u.asking || u.phase >= closing || u.conn == nil || !u.conn.native || u.conn.watching == *u.watches() {
		return
	}
	u.asking = true
	u.wg.Go(func() {
		var asked bool
		conn, err := u.ask(u.life, protocol.NameNodes, func(rid json.RawMessage) any {
			watch := u.watches()
			asked = *watch
			return wire.NodesQuery{RID: rid, Limit: 1, Watch: watch}
		}, new(struct{}))
		if conn != nil && err != nil {
			u.conf.Logger.Warn("mesh: the hub does not report presence", "error", err)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.asking = false
		if conn != nil {
			conn.watching = asked
			u.startWatch()
		}
	})
}
