package engineio

import (
	"context"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/engineio/packet"
)

var errProbe = errors.New("engineio: unexpected packet in an upgrade")

// upgrade moves a client's session from polling to a WebSocket, on a goroutine of its own. If it fails, the session
// stays on polling.
func (s *Socket) upgrade() {
	ctx, cancel := context.WithTimeout(s.client.ctx, s.conf.upgradeTimeout)
	defer cancel()
	conn, err := s.client.dialWebSocket(ctx)
	if err != nil {
		s.client.remember(false)
		s.conf.log.Info("engineio: no upgrade, the session stays on polling", "error", err)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.conn.Close() })()
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		conn.end(nil)
		return
	}
	s.probe = conn
	s.mu.Unlock()
	err = s.sendProbe(conn)
	if err == nil {
		err = s.moveTo(ctx, conn)
	}
	s.client.remember(err == nil)
	if err != nil {
		s.conf.log.Info("engineio: the upgrade failed, the session stays on polling", "error", err)
		s.mu.Lock()
		s.upgrading, s.probe = false, nil
		s.cond.Broadcast()
		s.kick()
		s.mu.Unlock()
		conn.end(nil)
	}
}

func (s *Socket) sendProbe(conn *stream) error {
	probe := []byte("probe")
	if err := conn.writePacket(packet.Packet{Type: packet.Ping, Data: probe}); err != nil {
		return err
	}
	p, err := conn.readPacket()
	if err != nil {
		return err
	}
	if p.Type != packet.Pong || string(p.Data) != "probe" {
		return fmt.Errorf("%w: type %d", errProbe, p.Type)
	}
	return nil
}

// moveTo pauses polling, which ends when the server releases the poll that is under way, tells the server and goes on
// with the WebSocket.
func (s *Socket) moveTo(ctx context.Context, conn *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrading = true
	if err := s.waitFor(ctx, func() bool { return !s.getting && !s.writing }); err != nil {
		return err
	}
	if s.state == stateClosed {
		return s.closedError()
	}
	s.writing = true // nothing may overtake the upgrade packet
	s.mu.Unlock()
	err := conn.writePacket(packet.Packet{Type: packet.Upgrade})
	s.mu.Lock()
	s.writing = false
	if err != nil {
		return err
	}
	if s.state == stateClosed {
		return s.closedError()
	}
	s.adopt(conn)
	s.upgrading, s.probe = false, nil
	s.cond.Broadcast()
	s.kick()
	return nil
}
