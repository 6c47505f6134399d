package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A cell is one exchange between a client and a server: a column of the matrix. Each run uses a new server and a new
// session.
type cell struct {
	name  string
	title string // description for people
	later bool   // the cell exists only in modes with an upgrade
	idle  bool   // the exchange mostly waits
	run   exchange
}

type exchange func(ctx context.Context, c clientSide, s serverSide, m mode) error

// in reports whether the cell exists in a mode.
func (c cell) in(m mode) bool { return !c.later || m.upgrades() }

// cells are the exchanges of every pair of peers, in every mode: the columns of the matrix.
var cells = []cell{
	{name: "text", title: "to the server and back; during an upgrade and after it", run: echoes(hello)},
	{name: "unicode", title: "the same with text that the dialects encode differently", run: echoes(unicode...)},
	{name: "binary", title: "the same with bytes", run: echoes(someBytes)},
	{name: "binary to client", title: "bytes from the server only", run: toClient(someBytes)},
	{name: "mixed", title: "text and bytes in turn, to the server and back", run: together(mixed...)},
	{name: "500 KB", title: "a large text, to the server and back", run: echoes(large)},
	{name: "300 in order", title: "from both ends at the same time; before, during and after an upgrade", run: inOrder(300)},
	{name: "after upgrade", title: "text that waits for the upgrade", later: true, run: afterUpgrade(hello)},
	{name: "client closes", title: "each end learns the reason", run: clientCloses},
	{name: "server closes", title: "each end learns the reason", run: serverCloses},
	{
		name: "client silent", title: "heartbeats, then nothing arrives: the server ends the session",
		idle: true, run: silenced(func(_, server party) party { return server }),
	},
	{
		name: "server silent", title: "heartbeats, then nothing arrives: the client ends the session",
		idle: true, run: silenced(func(client, _ party) party { return client }),
	},
}

var hello = message{data: "hello"}

var large = message{data: strings.Repeat("0123456789", 50_000)}

// A parser could mistake the first byte for a packet type, and the last byte for the ASCII digit of a packet type.
var someBytes = message{binary: true, data: "\x04\x00\x01\x7f\x80\xfe\xff4"}

// The first text is valid in both text dialects of revision 3. It comes before any text that reveals the peer's
// dialect.
var unicode = []message{{data: "Ã©"}, {data: "é€😀"}, {data: "\u2028 日本語\n\\n"}}

var mixed = []message{
	{data: "one"}, someBytes, {data: "two"}, {data: "three"}, someBytes, {binary: true, data: "5"}, {data: "six"}, someBytes,
}

// echoes sends messages from the client one at a time. Each message must arrive at the server and come back before the
// client sends the next one. The exchange runs when the session opens, and again after the upgrade if the mode has one.
func echoes(messages ...message) exchange {
	return twice(func(ctx context.Context, client, server party) error {
		for _, m := range messages {
			if err := echo(ctx, m, client, server); err != nil {
				return err
			}
		}
		return nil
	})
}

// together is like echoes, but the client sends all messages before it waits for the echoes.
func together(messages ...message) exchange {
	return twice(func(ctx context.Context, client, server party) error {
		for _, m := range messages {
			if err := client.send(ctx, m); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
		for _, m := range messages {
			if err := expect(ctx, server, m); err != nil {
				return fmt.Errorf("server: %w", err)
			}
		}
		for _, m := range messages {
			if err := expect(ctx, client, m); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
		return nil
	})
}

// twice runs fn with a server that echoes messages: once when the session opens, and again after the upgrade if the
// mode has one.
func twice(fn func(ctx context.Context, client, server party) error) exchange {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode, echo: true}, func(client, server party) error {
			if err := fn(ctx, client, server); err != nil || !mode.upgrades() {
				return err
			}
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			if err := fn(ctx, client, server); err != nil {
				return fmt.Errorf("after the upgrade: %w", err)
			}
			return nil
		})
	}
}

// afterUpgrade waits until both ends have finished the upgrade. Then it sends m and expects it back.
func afterUpgrade(m message) exchange {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode, echo: true}, func(client, server party) error {
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			return echo(ctx, m, client, server)
		})
	}
}

// toClient sends m from the server to the client. The client sends no message.
func toClient(m message) exchange {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode}, func(client, server party) error {
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			if err := server.send(ctx, m); err != nil {
				return err
			}
			return expect(ctx, client, m)
		})
	}
}

func echo(ctx context.Context, m message, client, server party) error {
	if err := client.send(ctx, m); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := expect(ctx, server, m); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if err := expect(ctx, client, m); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// inOrder makes each end send n messages and checks their order. If the mode has an upgrade, each end sends about a
// third of its messages while the upgrade is under way.
func inOrder(n int) exchange {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode, burst: n}, func(client, server party) error {
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			for i := range n {
				if err := expect(ctx, server, message{data: fmt.Sprintf("client-%d", i)}); err != nil {
					return fmt.Errorf("server: %w", err)
				}
			}
			for i := range n {
				if err := expect(ctx, client, message{data: fmt.Sprintf("server-%d", i)}); err != nil {
					return fmt.Errorf("client: %w", err)
				}
			}
			return nil
		})
	}
}

func clientCloses(ctx context.Context, c clientSide, s serverSide, mode mode) error {
	return session(ctx, c, s, setup{mode: mode}, func(client, server party) error {
		if err := settled(ctx, mode, client, server); err != nil {
			return err
		}
		return closes(ctx, client, server)
	})
}

func serverCloses(ctx context.Context, c clientSide, s serverSide, mode mode) error {
	return session(ctx, c, s, setup{mode: mode}, func(client, server party) error {
		if err := settled(ctx, mode, client, server); err != nil {
			return err
		}
		return closes(ctx, server, client)
	})
}

// closes makes p close the session and expects both ends to report the reason that the reference reports. An end
// without reasons reports an empty one.
func closes(ctx context.Context, p, other party) error {
	if err := p.close(ctx); err != nil {
		return err
	}
	reason, err := p.closed(ctx)
	if err != nil {
		return fmt.Errorf("the end that closed: %w", err)
	}
	if reason != "" && reason != "forced close" {
		return fmt.Errorf("the end that closed: reason %q, want forced close", reason)
	}
	reason, err = other.closed(ctx)
	if err != nil {
		return fmt.Errorf("the other end: %w", err)
	}
	if reason != "" && reason != "transport close" {
		return fmt.Errorf("the other end: reason %q, want transport close", reason)
	}
	return nil
}

// shortBeat is the heartbeat of the exchanges about silence. Its timeout of two seconds is enough for a loaded machine.
// Without heartbeats a session would end before lively has passed. So if data comes from the client later than lively,
// the heartbeats keep the session alive.
var shortBeat = beat{interval: 200 * time.Millisecond, timeout: 2 * time.Second}

const lively = 2500 * time.Millisecond

// silenced stops all traffic between the ends and closes no connection. notices chooses one of the ends. That end must
// then report the end of the session, but not earlier than a quarter of the ping timeout after the traffic stops.
func silenced(notices func(client, server party) party) exchange {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		set := setup{mode: mode, beat: shortBeat}
		return relayed(ctx, c, s, set, func(client, server party, r *relay) error {
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			if err := r.trafficAfter(ctx, lively); err != nil {
				return err
			}
			since := time.Now()
			r.silence()
			reason, err := notices(client, server).closed(ctx)
			if err != nil {
				return err
			}
			if reason != "" && reason != "ping timeout" {
				return fmt.Errorf("reason %q, want ping timeout", reason)
			}
			if after := time.Since(since); after < set.beat.timeout/4 {
				return fmt.Errorf("%s %s after the silence began, and so not for it", reason, after)
			}
			return nil
		})
	}
}

// session starts a server, opens a session with it, and calls fn with both ends.
func session(ctx context.Context, c clientSide, s serverSide, set setup, fn func(client, server party) error) (err error) {
	l, err := s.listen(ctx, set)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return connect(ctx, c, l, l.url(), set, fn)
}

// relayed is like session, but the session passes through a relay.
func relayed(ctx context.Context, c clientSide, s serverSide, set setup, fn func(client, server party, r *relay) error) (err error) {
	l, err := s.listen(ctx, set)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r, err := newRelay(ctx, l.url(), set.mode.quic())
	if err != nil {
		return err
	}
	defer r.close()
	return connect(ctx, c, l, r.url(), set, func(client, server party) error { return fn(client, server, r) })
}

func connect(ctx context.Context, c clientSide, l listening, url string, set setup, fn func(client, server party) error) error {
	client, err := c.dial(ctx, url, set)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	server, err := l.accept(ctx)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return fn(client, server)
}

func expect(ctx context.Context, p party, want message) error {
	got, err := p.receive(ctx)
	if err != nil {
		return fmt.Errorf("expecting %v: %w", want, err)
	}
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// settled waits until both ends have finished the upgrade, if the mode has one.
func settled(ctx context.Context, mode mode, client, server party) error {
	if !mode.upgrades() {
		return nil
	}
	if err := client.upgraded(ctx); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := server.upgraded(ctx); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}
