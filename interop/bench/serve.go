package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
)

// served has the servers in Go, by the argument of the command serve. Each of them serves until in ends.
var served = map[string]func(heartbeat time.Duration, in io.Reader, out io.Writer) error{
	"echo": func(heartbeat time.Duration, in io.Reader, out io.Writer) error {
		return serveOurs(echo, heartbeat, in, out)
	},
	"relay": func(heartbeat time.Duration, in io.Reader, out io.Writer) error {
		return serveOurs(new(relay).serve, heartbeat, in, out)
	},
	"hub": func(_ time.Duration, in io.Reader, out io.Writer) error { return serveHub(in, out) },
	"googollee-echo": func(heartbeat time.Duration, in io.Reader, out io.Writer) error {
		return serveGoogollee(googolleeEcho, heartbeat, in, out)
	},
	"googollee-relay": func(heartbeat time.Duration, in io.Reader, out io.Writer) error {
		return serveGoogollee(new(googolleeRelay).serve, heartbeat, in, out)
	},
}

// serveCommand returns the command with which this program starts itself as a server. It prints one line when it
// listens, as the Node.js servers do.
func serveCommand() *cobra.Command {
	var heartbeat time.Duration
	cmd := &cobra.Command{
		Use:    "serve KIND",
		Short:  "Be one of the servers, until standard input ends",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			serve := served[args[0]]
			if serve == nil {
				return fmt.Errorf("there is no server %q", args[0])
			}
			return serve(heartbeat, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&heartbeat, "ping-interval", 25*time.Second, "")
	return cmd
}

// serveOurs serves our Engine.IO with its defaults, except the heartbeat and the revisions.
func serveOurs(handler engineio.HandlerFunc, heartbeat time.Duration, in io.Reader, out io.Writer) error {
	engine := engineio.NewServer(handler, &engineio.ServerOptions{
		Revisions:    []engineio.Revision{engineio.Revision3, engineio.Revision4},
		PingInterval: heartbeat,
	})
	defer func() { _ = engine.Close() }() // returns nil
	return serveHTTP(engine, in, out)
}

// serveHTTP serves h on a free port of the loopback interface until in ends.
func serveHTTP(h http.Handler, in io.Reader, out io.Writer) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(l) }() // fails when web is closed
	if err := announce(out, l.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in)
	return web.Close()
}

// announce prints the port of the server.
func announce(out io.Writer, port int) error {
	return json.NewEncoder(out).Encode(map[string]any{"event": "listening", "port": port})
}

// echo sends each message back until the session ends.
func echo(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		if err := s.Write(ctx, m); err != nil {
			return
		}
	}
}

// relay sends each message of a session to all other sessions. If the queue of one of them is full, relay and thus the
// sender wait.
type relay struct{ members[*engineio.Socket] }

func (r *relay) serve(ctx context.Context, s *engineio.Socket) {
	r.add(s)
	defer r.remove(s)
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		m = engineio.Prepare(m)
		for _, other := range r.all() {
			if other != s {
				_ = other.Write(ctx, m) // fails if that session has ended
			}
		}
	}
}

func serveHub(in io.Reader, out io.Writer) error {
	hub, err := mesh.Listen(context.Background(), &mesh.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer func() { _ = hub.Close() }() // returns nil
	_, text, err := net.SplitHostPort(hub.Addr())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	if err := announce(out, port); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in)
	return nil
}
