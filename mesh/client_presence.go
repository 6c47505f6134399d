package mesh

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// watches returns whether the hub must report presence changes to this node.
func (c *client) watches() *bool {
	watches := len(*c.node.emitter.presence.Load()) > 0
	return &watches
}

func (c *client) WatchPresence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startWatch()
}

// startWatch starts a goroutine that turns the hub's presence reports on or off, if they are not as the node needs
// them. The caller holds c.mu.
func (c *client) startWatch() {
	if c.asking || c.closing || c.conn == nil || !c.conn.native || c.conn.watched == *c.watches() {
		return
	}
	c.asking = true
	c.wg.Go(func() {
		var asked bool
		conn, err := c.ask(c.life, protocol.NameNodes, func(rid json.RawMessage) any {
			watch := c.watches()
			asked = *watch
			return wire.NodesQuery{RID: rid, Limit: 1, Watch: watch}
		}, new(struct{}))
		if conn != nil && err != nil {
			c.node.opts.Logger.Warn("mesh: the hub does not report presence", "error", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
		if conn != nil {
			conn.watched = asked
			c.startWatch()
		}
	})
}
