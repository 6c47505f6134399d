package engineio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// headStart is how long the client tries WebTransport before it also tries a WebSocket, as in the reference.
const headStart = 200 * time.Millisecond

// errUpgraded means that another upgrade was faster.
var errUpgraded = errors.New("engineio: the session moves to another transport")

// upgrade moves a client's session from polling to the first transport that works. It runs on its own goroutine. If no
// transport works, the session stays on polling.
func (s *Socket) upgrade(transports []Transport) {
	ctx, cancel := context.WithTimeout(s.client.ctx, s.conf.upgradeTimeout)
	defer cancel()
	failures := make([]error, len(transports))
	var attempts sync.WaitGroup
	for i, t := range transports {
		failed := make(chan struct{})
		attempts.Go(func() {
			if failures[i] = s.upgradeTo(ctx, t); failures[i] == nil {
				cancel() // end the other attempts
				return
			}
			close(failed)
		})
		select {
		case <-failed:
		case <-time.After(headStart):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	attempts.Wait()
	s.mu.Lock()
	moved := s.stream != nil
	s.mu.Unlock()
	if !moved {
		s.conf.log.Info("engineio: no upgrade, the session stays on polling", "error", errors.Join(failures...))
	}
}

func (s *Socket) upgradeTo(ctx context.Context, t Transport) error {
	err := s.attemptUpgrade(ctx, t)
	s.mu.Lock()
	moved := s.stream != nil
	s.mu.Unlock()
	if t == WebSocket && (err == nil || !moved) {
		s.client.recordHint(err == nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	return nil
}

func (s *Socket) attemptUpgrade(ctx context.Context, t Transport) error {
	conn, err := s.client.dialStream(ctx, t)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	if err = s.sendProbe(conn); err == nil {
		err = s.switchTo(ctx, conn, stop)
	}
	stop()
	if err != nil {
		conn.End(nil)
	}
	return err
}

func (s *Socket) sendProbe(conn *wire.Stream) error {
	probe := []byte("probe")
	if err := conn.WritePacket(packet.Packet{Type: packet.Ping, Data: probe}); err != nil {
		return err
	}
	p, err := conn.ReadPacket()
	if err != nil {
		return err
	}
	if p.Type != packet.Pong || string(p.Data) != "probe" {
		return fmt.Errorf("%w: type %d", errProbe, p.Type)
	}
	return nil
}

// switchTo moves the session to conn, unless another upgrade does so. See pausePolling for inTime.
func (s *Socket) switchTo(ctx context.Context, conn *wire.Stream, inTime func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phasePolling {
		return errUpgraded
	}
	s.phase, s.probe = phasePausing, conn
	err := s.pausePolling(ctx, conn, inTime)
	if err == nil {
		s.setStream(conn)
	} else {
		s.phase, s.probe = phasePolling, nil
	}
	s.cond.Broadcast()
	s.kick()
	return err
}

// pausePolling pauses polling and sends the upgrade packet. The pause begins when the server has released the current
// poll. After the packet there is no way back, because the server has moved. So pausePolling calls inTime before the
// packet: inTime stops the timeout of the upgrade and returns false if the timeout has already fired. The caller holds
// s.mu.
func (s *Socket) pausePolling(ctx context.Context, conn *wire.Stream, inTime func() bool) error {
	if err := s.waitFor(ctx, func() bool { return !s.getting && !s.writing }); err != nil {
		return err
	}
	switch {
	case s.state == stateClosed:
		return s.closedError()
	case !s.canSwitchTo(conn):
		return ErrEmptyBinary
	case !inTime():
		return context.Cause(ctx)
	}
	s.writing = true // no packet may overtake the upgrade packet
	s.mu.Unlock()
	err := conn.WritePacket(packet.Packet{Type: packet.Upgrade})
	s.mu.Lock()
	s.writing = false
	if err == nil && s.state == stateClosed {
		err = s.closedError()
	}
	return err
}
