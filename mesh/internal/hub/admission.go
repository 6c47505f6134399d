package hub

import (
	"context"
	"errors"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/protocol"
)

// The reasons for which a hub rejects a peer. The hub logs them, and sends them to peers of this package.
var (
	errRejected      = errors.New("user, password or token refused")
	errAuthTimeout   = errors.New("authorization took too long")
	errRejectedOften = errors.New("too many refusals")
)

// authorize returns nil if the peer is admitted, and otherwise the reason why the hub must drop the packet. A decision
// is valid until the peer presents other credentials. If the first packet has no credentials, they count as empty.
func (p *peer) authorize(ctx context.Context, auth *protocol.Auth) error {
	conf := &p.hub.conf
	if conf.Authorize == nil {
		if !p.admitted {
			p.identify()
			p.admit()
		}
		return nil
	}
	if auth == nil {
		auth = &protocol.Auth{User: p.user, Password: p.password}
	}
	if p.decided && auth.User == p.user && auth.Password == p.password {
		if p.admitted {
			return nil
		}
		return errRejected
	}
	p.decided, p.user, p.password = true, auth.User, auth.Password
	why := errRejectedOften
	if p.rejections < maxRejections {
		why = p.askAuthorize(ctx)
	}
	if why == nil {
		p.identify()
		p.admit()
		return nil
	}
	p.rejections++
	p.hub.conf.Counters.AuthFailures.Add(1)
	if times := p.hub.authFailLog.Allow(); times > 0 {
		p.log().Warn("mesh: peer refused", "reason", why, "times", times)
	}
	p.revoke()
	return why
}

// askAuthorize calls Authorize. It does not pass on the error of Authorize, which may contain the credentials.
func (p *peer) askAuthorize(ctx context.Context) error {
	conf := &p.hub.conf
	ctx, cancel := context.WithTimeout(ctx, conf.AuthTimeout)
	defer cancel()
	err := conf.Authorize(ctx, p.identity())
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errAuthTimeout
	case err != nil:
		return errRejected
	}
	return nil
}

// identity returns the identity of the peer. Token is empty without Options.Authorize.
func (p *peer) identity() Identity {
	c := Identity{ID: p.id, User: p.user, Password: p.password, Name: p.name}
	if r := p.sock.Request(); r != nil {
		c.RemoteAddr = r.RemoteAddr
		if p.hub.conf.Authorize != nil {
			c.Token = tokenOf(r)
		}
	}
	return c
}

// admit marks the peer as admitted: the hub then accepts its messages and sends it events.
func (p *peer) admit() {
	if p.admitted {
		return
	}
	if !p.markAdmitted() {
		return
	}
	p.sock.SetAdmitted(true)
	if p.unauthTimer != nil {
		p.unauthTimer.Stop()
		p.unauthTimer = nil
	}
	p.log().Info("mesh: peer admitted", "negotiated", p.negotiated, "transport", p.sock.Transport(), "revision", p.sock.Revision())
}

// revoke stops all events from and to a peer. It does not disconnect the peer at once, because a client of the original
// would reconnect at once.
func (p *peer) revoke() {
	p.announceLeave()
	p.setInterests(nil, nil)
	p.setTable(nil)
	if p.admitted {
		p.markUnadmitted()
		p.sock.SetAdmitted(false)
		p.startUnauthTimer()
	}
}

func (p *peer) startUnauthTimer() {
	sock := p.sock
	p.unauthTimer = time.AfterFunc(p.hub.conf.MuteTimeout, func() { sock.Abort(fault.ErrUnauthorized) })
}
