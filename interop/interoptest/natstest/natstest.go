// Package natstest runs NATS servers inside tests. Only tests that need NATS import it, because it links the server.
package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start of a server on a loaded machine.
const startTimeout = 20 * time.Second

// Run starts a server on a loopback address and stops it when t ends. It changes opts: the port is free unless opts has
// one.
func Run(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	s := Start(t, opts)
	t.Cleanup(func() { Stop(s) })
	return s
}

// Start is like Run, but the caller stops the server.
func Start(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// Stop stops a server and waits for its end.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
