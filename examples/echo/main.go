// Command echo is an Engine.IO server that sends every message back: text as text, binary as binary. It is short enough
// to serve as an introduction to package engineio, and its flags make it a target for the test suites of other
// Engine.IO implementations.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/engineio"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "echo",
		Short: "An Engine.IO server that sends every message back",
		Long: `echo is an Engine.IO server that sends every message back: text as text, binary as
binary. The defaults are those of the reference server, except that pages of
another origin are refused unless --cors names it.

It runs until it is interrupted.`,
		Example: `  echo --addr :3000
  echo --revisions 3,4 --ping-interval 300ms --ping-timeout 200ms
  echo --transports websocket --cors https://example.com
  echo --webtransport --cert cert.pem --key key.pem`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected argument %q (--help lists the flags)", args[0])
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := f.options()
			if err != nil {
				return err
			}
			opts.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			config, err := f.secure.config()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), f.addr, opts, config, cmd.ErrOrStderr())
		},
	}
	f.register(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w (--help lists the flags)", err)
	})
	return cmd
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

const (
	readHeaderTimeout = 5 * time.Second
	// shutdownTimeout bounds the wait for clients to receive the end of their sessions. Polling clients that do not
	// poll again use all of it.
	shutdownTimeout = 3 * time.Second
)

// serve serves at addr until ctx ends, then closes the sessions and returns nil. config is nil for plain HTTP.
func serve(ctx context.Context, addr string, opts *engineio.ServerOptions, config *tls.Config, out io.Writer) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := engineio.NewServer(engineio.HandlerFunc(echo), opts)
	web := &http.Server{Handler: server, ReadHeaderTimeout: readHeaderTimeout, TLSConfig: config}
	failed := make(chan error, 2) // errors of the web server and of the WebTransport server
	scheme := "http"
	if config == nil {
		go func() { failed <- web.Serve(l) }()
	} else {
		scheme = "https"
		go func() { failed <- web.ServeTLS(l, "", "") }()
	}
	_, _ = fmt.Fprintf(out, "echo: listening on %s://%s%s\n", scheme, l.Addr(), opts.Path)
	if slices.Contains(opts.Transports, engineio.WebTransport) {
		udp, err := serveWebTransport(server, l.Addr(), config, out, failed)
		if err != nil {
			return err
		}
		defer func() { _ = udp.Close() }()
	}

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	// The sessions end first: polling clients receive the end through the web server.
	bound, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if server.Shutdown(bound) == nil {
		_ = web.Shutdown(bound)
	}
	_ = server.Close()
	_ = web.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
