package mesh

import (
	"context"
	"errors"
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// What a peer that is refused is told.
var (
	errRefused     = errors.New("user, password or token refused")
	errAuthTimeout = errors.New("authorization took too long")
	errRefusedOft  = errors.New("too many refusals")
)

// authorize says why a packet must not be dealt with; nil if the peer is admitted. A verdict stands until the peer
// presents other credentials. A packet without any, if it is the first, presents empty ones.
func (p *peer) authorize(ctx context.Context, auth *protocol.Auth) error {
	opts := &p.hub.node.opts
	if opts.Authorize == nil {
		if !p.admitted {
			p.identify()
			p.admit()
		}
		return nil
	}
	if auth == nil {
		auth = &protocol.Auth{User: p.user, Password: p.password}
	}
	if p.judged && auth.User == p.user && auth.Password == p.password {
		if p.admitted {
			return nil
		}
		return errRefused
	}
	p.judged, p.user, p.password = true, auth.User, auth.Password
	why := errRefusedOft
	if p.refusals < maxRefusals {
		why = p.ask(ctx)
	}
	if why == nil {
		p.identify()
		p.admit()
		return nil
	}
	p.refusals++
	p.hub.node.counters.refusals.Add(1)
	if times := p.hub.guesses.note(); times > 0 {
		p.log().Warn("mesh: peer refused", "reason", why, "times", times)
	}
	p.banish()
	return why
}

// ask calls Authorize. Nothing of its error is passed on: it may hold what was presented.
func (p *peer) ask(ctx context.Context) error {
	opts := &p.hub.node.opts
	ctx, cancel := context.WithTimeout(ctx, opts.AuthTimeout)
	defer cancel()
	err := opts.Authorize(ctx, p.credentials())
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errAuthTimeout
	case err != nil:
		return errRefused
	}
	return nil
}

// credentials are what the peer presents, if anybody asks for them.
func (p *peer) credentials() Credentials {
	c := Credentials{User: p.user, Password: p.password, Name: p.name}
	if r := p.sock.Request(); r != nil {
		c.RemoteAddr = r.RemoteAddr
		if p.hub.node.opts.Authorize != nil {
			c.Token = tokenOf(r)
		}
	}
	return c
}

// admit lets a peer hear and be heard.
func (p *peer) admit() {
	if p.admitted {
		return
	}
	if !p.enter() {
		return
	}
	p.sock.SetAdmitted(true)
	if p.mute != nil {
		p.mute.Stop()
		p.mute = nil
	}
	p.log().Info("mesh: peer admitted", "negotiated", p.negotiated, "transport", p.sock.Transport(), "revision", p.sock.Revision())
}

// banish makes a peer mute and deaf. It is not closed at once, because a client of the original's comes back at once.
func (p *peer) banish() {
	p.vanish()
	p.setInterests(nil, nil)
	p.setTable(nil)
	if p.admitted {
		p.exclude()
		p.sock.SetAdmitted(false)
		p.startMute()
	}
}

func (p *peer) startMute() {
	sock := p.sock
	p.mute = time.AfterFunc(p.hub.node.opts.MuteTimeout, func() { sock.Abort(ErrUnauthorized) })
}
