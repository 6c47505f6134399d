package uplink

import (
	"context"
	"encoding/json"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// readAll reads a connection until it ends and returns the error, or until the hub sends no more packets.
func (u *Uplink) readAll(conn *conn) error {
	for {
		m, err := conn.sock.Read(context.Background()) // Close or Abort ends it
		if err != nil {
			return err
		}
		if !u.receive(conn, m) {
			return nil
		}
	}
}

// receive processes one message from the hub. It returns false if it is the last one.
func (u *Uplink) receive(conn *conn, m engineio.Message) (more bool) {
	count := u.conf.Counters
	count.BytesIn.Add(uint64(len(m.Data)))
	if m.Binary {
		count.Malformed.Add(1)
		return true
	}
	p, err := conn.parser.Parse(m.Data)
	if err != nil {
		count.Malformed.Add(1)
		u.conf.Logger.Debug("mesh: rejected a packet from the hub", "error", err)
		return true
	}
	switch {
	case protocol.Relayed(p.Event):
		e := wire.Event{Name: p.Event, Payload: p.Payload, From: p.From, N: p.N}
		if !conn.native {
			// A Node.js hub relays any `from` that a client writes, but writes the true sender into the payload. From
			// is that sender.
			e.From = protocol.PayloadID(p.Payload)
		}
		u.receiveEvent(conn, heldEvent{Event: e})
	case p.Event == protocol.NameHello && !conn.settled.Load():
		u.meet(conn, p.Payload)
	case p.Event == protocol.NameUnauthorized && (conn.native || !conn.settled.Load()):
		var r wire.Unauthorized
		_ = json.Unmarshal(p.Payload, &r) // a rejection without a message is valid
		conn.rejected.Store(&Rejection{Message: r.Message[:min(len(r.Message), maxRejection)]})
	case !conn.native:
		count.Reserved.Add(1)
	case p.Event == protocol.NameNodes || p.Event == protocol.NameExplain:
		conn.queries.answer(p.Payload)
	case p.Event == protocol.NameJoin || p.Event == protocol.NameLeave:
		u.receiveEvent(conn, heldEvent{Event: wire.Event{Name: p.Event, Payload: p.Payload}, notice: true})
	case p.Event == protocol.NameMove:
		u.startMigration(conn)
	case p.Event == protocol.NameSync:
		if m := conn.in.Load(); m != nil {
			m.held.start() // later events are not among those that the old hub sends
		}
		conn.queries.answer(p.Payload)
	case p.Event == protocol.NameLeft:
		return !u.onLeft(conn)
	case p.Event == protocol.NameRefused:
		u.countRejected(p.Payload)
	case p.Event == protocol.NameUnheard:
		var r wire.Unheard
		if json.Unmarshal(p.Payload, &r) == nil {
			u.conf.Local.FailRequest(r.RID, fault.ErrNoListener)
		}
	default:
		count.Reserved.Add(1)
	}
	return true
}

// receiveEvent processes an event or a notice that a hub sends on a connection.
func (u *Uplink) receiveEvent(conn *conn, e heldEvent) {
	if m := conn.in.Load(); m != nil && m.held.add(e) {
		return
	}
	if m := conn.out.Load(); m != nil {
		if key, ok := e.key(); ok {
			m.seen.add(key)
		}
	}
	u.deliver(conn, e)
}

// deliver passes an event or notice to the node, unless it also arrived on the old connection.
func (u *Uplink) deliver(conn *conn, e heldEvent) {
	if m := conn.in.Load(); m != nil {
		if key, ok := e.key(); ok && m.seen.take(key) {
			return
		}
	}
	if e.notice {
		u.conf.Local.Presence(e.Name, e.Payload, true)
		return
	}
	u.conf.Counters.Received.Add(1)
	u.conf.Local.Receive(e.Event)
}

// countRejected counts and logs events that the hub has rejected.
func (u *Uplink) countRejected(payload json.RawMessage) {
	var r wire.Refused
	if json.Unmarshal(payload, &r) != nil || r.Count < 1 {
		u.conf.Counters.Malformed.Add(1)
		return
	}
	u.conf.Counters.RejectedByHub.Add(uint64(r.Count))
	if u.rejectLog.Allow() > 0 { // a hub reports at most once a second
		log := u.conf.Logger
		if r.Message != "" {
			log = log.With("message", wire.Truncate(r.Message))
		}
		log.Warn("mesh: the hub rejects events of this node", "rule", wire.Truncate(string(r.Rule)), "event", wire.Truncate(r.Event), "times", r.Count)
	}
}

// maxRejection bounds the stored message of a rejection, in bytes.
const maxRejection = 200

// meet records a hub that speaks the extensions. The hub must have derived this node's ID from its key.
func (u *Uplink) meet(conn *conn, payload json.RawMessage) {
	var h wire.Hello
	if json.Unmarshal(payload, &h) != nil || h.V < protocol.Version || h.ID != u.conf.ID {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if conn.settled.Load() {
		return
	}
	conn.native, conn.hub = true, Hub{ID: h.Hub, Name: h.Name}
}
