package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A cell is one exchange between a client and a server, in one mode. It uses a session and a server of its own.
type cell struct {
	name  string
	later bool // only in modes with an upgrade
	run   func(ctx context.Context, c clientSide, s serverSide, m mode) error
}

// cells is the table that every pair of peers goes through, in every mode.
var cells = []cell{
	{name: "text", run: echoes(message{data: "hello"})},
	{name: "unicode", run: echoes(message{data: "é€😀"})},
	{name: "binary", run: echoes(someBytes)},
	{name: "binary to the client", run: toClient(someBytes)},
	{name: "500 KB", run: echoes(message{data: strings.Repeat("0123456789", 50_000)})},
	{name: "300 in order", run: inOrder(300)},
	{name: "text after the upgrade", later: true, run: afterUpgrade(message{data: "hello"})},
	{name: "client closes", run: clientCloses},
	{name: "server closes", run: serverCloses},
}

// The first byte could be taken for a packet type, and the last one for an ASCII digit of one.
var someBytes = message{binary: true, data: "\x04\x00\x01\x7f\x80\xfe\xff4"}

// echoes sends m and expects it at the server and back, as soon as the session is open and again, if there is an
// upgrade, after it.
func echoes(m message) func(context.Context, clientSide, serverSide, mode) error {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode, echo: true}, func(client, server party) error {
			if err := echo(ctx, m, client, server); err != nil {
				return err
			}
			if !mode.upgrades() {
				return nil
			}
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			if err := echo(ctx, m, client, server); err != nil {
				return fmt.Errorf("after the upgrade: %w", err)
			}
			return nil
		})
	}
}

// afterUpgrade sends m, and expects it back, only when both ends are done with the upgrade.
func afterUpgrade(m message) func(context.Context, clientSide, serverSide, mode) error {
	return func(ctx context.Context, c clientSide, s serverSide, mode mode) error {
		return session(ctx, c, s, setup{mode: mode, echo: true}, func(client, server party) error {
			if err := settled(ctx, mode, client, server); err != nil {
				return err
			}
			return echo(ctx, m, client, server)
		})
	}
}

// toClient sends m from the server alone.
func toClient(m message) func(context.Context, clientSide, serverSide, mode) error {
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

// inOrder lets both ends send n messages, a third of them while the upgrade is under way if there is one.
func inOrder(n int) func(context.Context, clientSide, serverSide, mode) error {
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

// closes has one end close, and expects either end to hear why, in the words of the reference. An end that has no word
// for it says nothing.
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

// session runs fn over a new session with a new server.
func session(ctx context.Context, c clientSide, s serverSide, set setup, fn func(client, server party) error) (err error) {
	l, err := s.listen(ctx, set)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { err = errors.Join(err, l.close()) }()
	client, err := c.dial(ctx, l.url(), set)
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

// settled waits until both ends are done with the upgrade, if there is one.
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
