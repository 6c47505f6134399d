package uplink

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Emit writes an event if the connection accepts it at once, and queues it otherwise.
func (u *Uplink) Emit(event string, payload json.RawMessage, rid string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.phase == emptied:
		return ErrRetired
	case u.phase >= closing:
		return fault.ErrClosed
	}
	if conn := u.conn; conn != nil && !u.pumping && u.queue.empty() && !u.stale(conn) && !conn.leaving() {
		u.packet = u.encode(u.packet[:0], conn, queued{event, payload, rid})
		err := conn.sock.TryWrite(engineio.Message{Data: u.packet})
		if err == nil {
			u.accepted++
			u.wrote(len(u.packet))
			return nil
		}
		if errors.Is(err, engineio.ErrTooLarge) {
			return fmt.Errorf("%w: %w", fault.ErrTooLarge, err)
		}
		if !errors.Is(err, engineio.ErrQueueFull) {
			u.lose(conn)
		}
	}
	if !u.queue.push(queued{event, payload, rid}) {
		return fault.ErrQueueFull
	}
	u.accepted++
	u.startPump()
	return nil
}

// wrote counts an event of size bytes. The caller holds u.mu.
func (u *Uplink) wrote(size int) {
	u.written++
	u.conf.Counters.Sent.Add(1)
	u.conf.Counters.BytesOut.Add(uint64(size))
}

// Announce sends the hub the changed subscriptions of the node.
func (u *Uplink) Announce() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.startPump()
}

// stale reports whether the hub does not have the node's latest table yet. The caller holds u.mu.
func (u *Uplink) stale(conn *conn) bool { return conn.table < u.conf.Local.Version() }

// startPump starts pump if there is something to write. The caller holds u.mu.
func (u *Uplink) startPump() {
	if u.pumping || u.phase >= closing || !u.writable() {
		return
	}
	u.pumping = true
	u.wg.Go(u.pump)
}

// writable reports whether a table or an event is queued and a connection can take it. The caller holds u.mu.
func (u *Uplink) writable() bool {
	return u.conn != nil && !u.conn.leaving() && (u.stale(u.conn) || !u.queue.empty())
}

// pump writes the table and the queued events, the table first: the reply to an event must find the listener that was
// added before the event. It waits for room in the connection's queue. It ends when the queue is empty or there is
// no connection.
func (u *Uplink) pump() {
	var packet []byte
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.writable() {
		conn, version := u.conn, uint64(0)
		if u.stale(conn) {
			packet, version = u.handshake(packet[:0], conn, nil)
		} else {
			packet = u.encode(packet[:0], conn, u.queue.front())
		}
		u.mu.Unlock()
		err := conn.sock.Write(u.life, engineio.Message{Data: packet})
		u.mu.Lock()
		switch {
		case errors.Is(err, engineio.ErrTooLarge):
			u.skip(conn, version, err)
		case err != nil:
			u.lose(conn)
		case version > 0:
			conn.table = version
		default:
			u.queue.pop()
			u.wrote(len(packet))
			if u.conn != conn { // the connection broke during the write, and this event may be lost with it
				u.lost, u.confirmed = u.written, u.written
			}
		}
		u.wake()
	}
	u.pumping = false
	u.wake()
}

// skip drops an item that is larger than the hub accepts: the table if version is not 0, otherwise the event at the
// front of the queue. The node accepted that event when it had no hub, or another one, so the next Flush reports its
// loss. The caller holds u.mu.
func (u *Uplink) skip(conn *conn, version uint64, err error) {
	if version > 0 {
		conn.table = version
		u.conf.Logger.Error("mesh: the hub does not have this node's subscriptions", "error", err)
		return
	}
	e := u.queue.front()
	u.queue.pop()
	u.written++
	u.lost = u.written
	u.conf.Counters.RejectedByHub.Add(1)
	if times := u.rejectLog.Allow(); times > 0 {
		u.conf.Logger.Warn("mesh: a queued event is larger than this hub accepts", "event", e.event, "times", times, "error", err)
	}
	if e.rid != "" {
		u.conf.Local.FailRequest(e.rid, fmt.Errorf("%w: %w", fault.ErrTooLarge, err))
	}
}

// maxFirstTable bounds the table that a client sends before the hub's hello, in bytes. A hub of this package reads at
// most 64 KB from a peer that it has not admitted, and the first packet also contains credentials.
const maxFirstTable = 32 << 10

// handshake appends the packet that announces the node's subscriptions to conn's hub, and returns the version of the
// announced table. If the table is too large for the first packet, that packet has an empty one and version 0, and the
// full table follows after the hub's hello. A hub of this package rejects a table beyond the protocol's limits. A
// client with such a table subscribes to all events, and delivers only the matching ones to its listeners.
func (u *Uplink) handshake(dst []byte, conn *conn, offer *protocol.Hello) ([]byte, uint64) {
	table, version := u.conf.Local.Table()
	raw := table.AppendTo(nil)
	beyond := len(table) > protocol.MaxTableEntries || len(raw) > protocol.MaxTableBytes || table.Steps() > protocol.MaxTableSteps
	switch {
	case offer != nil && (beyond || len(raw) > maxFirstTable):
		raw, version = emptyObject, 0
	case beyond && !conn.hub.Legacy:
		raw = []byte(`{"` + wire.TablePrefix + `**":{"remote":true}}`)
	}
	return protocol.AppendPacket(dst, &protocol.Packet{
		Event:      protocol.NameHandshake,
		Payload:    emptyObject,
		EventTable: raw,
		Headers:    protocol.Headers{Auth: u.credentials(), Mesh: offer},
	}, true), version
}

// credentials returns the auth object of a packet. Every handshake has it. At a Node.js hub every packet has it, as
// in the original.
func (u *Uplink) credentials() *protocol.Auth {
	return &protocol.Auth{User: u.conf.User, Password: u.conf.Password}
}

var emptyObject = json.RawMessage("{}")

// encode appends the packet that carries an event to a hub. For a Node.js hub, a payload that is null or absent becomes
// {}, as in the original.
func (u *Uplink) encode(dst []byte, conn *conn, e queued) []byte {
	p := protocol.Packet{Event: e.event, Payload: e.payload, RID: e.rid, N: u.written + 1}
	if !conn.native {
		p.RID, p.N = "", 0
		if len(e.payload) == 0 || string(e.payload) == "null" {
			p.Payload = emptyObject
		}
		p.Headers.Auth = u.credentials()
	}
	return protocol.AppendPacket(dst, &p, !conn.native)
}
