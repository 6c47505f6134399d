package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// embedded is the backplane of --cluster: a NATS server in this process, which runs while the hub is a member. The
// server has one connection with the server of each other hub. A node of 'mesh start' that is not a hub runs no server.
type embedded struct {
	membership
	own    string // host:port at which other hubs reach this one
	others []string
	tls    *tls.Config // nil without a secret
}

// Bounds of the server.
const (
	// embeddedPayload bounds one message, in bytes: an event and the fields that hubs add.
	embeddedPayload = 2 * mesh.DefaultMaxMessage
	// embeddedPending bounds the bytes queued for one other hub. Beyond it the server closes the connection and
	// reconnects.
	embeddedPending = 64 << 20
	// The server sends a ping each second. It closes a connection one second after embeddedPingsOut of its pings are
	// unanswered. So the server notices a lost hub after 3 to 4 s.
	embeddedPing     = time.Second
	embeddedPingsOut = 3
	// embeddedHandshake bounds the time for TLS.
	embeddedHandshake = 2 * time.Second
	// embeddedRetries is the number of attempts, one each second, to reconnect to a lost hub that is not in --cluster.
	// The server calls the hubs in --cluster for ever.
	embeddedRetries = 600
	// awaitTimeout bounds how long a hub waits for the others before it serves. pollInterval is the time between two
	// checks.
	awaitTimeout = 2 * time.Second
	pollInterval = 10 * time.Millisecond
)

// noPort is the server's port for NATS clients. There is no such port, so the server cannot listen there: its only
// client is in this process. The option DontListen would make the server wait for ever before it calls other servers.
const noPort = 1 << 16

// subjectPresent is the subject on which a hub's server asks which other servers are there. No event uses this subject.
const subjectPresent = "_mesh_meet"

// Join implements mesh.Backplane. It returns when this hub and the hubs that reply know each other's subscriptions.
func (b *embedded) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	log := &natsLog{logger: b.logger}
	s, err := b.start(hub, log)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect("", natsbackplane.Settings, b.logErrors(), nats.InProcessServer(s))
	if err != nil {
		stop(s)
		return nil, err
	}
	end := func() {
		nc.Close()
		stop(s)
	}
	if err := b.awaitOthers(s, nc, log); err != nil {
		end()
		return nil, err
	}
	met := s.NumRoutes()
	host, _, _ := net.SplitHostPort(b.own)
	own := net.JoinHostPort(host, strconv.Itoa(s.ClusterAddr().Port)) // with the given host, also if that is 0.0.0.0
	b.notice(fmt.Sprintf("other hubs reach this one at %s; %d of %d answer now", own, met, max(len(b.others), met)),
		"cluster", own, "hubs", met)
	return b.join(nc, hub, receive, end, s.Running)
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// start starts the server with all other features off: it has no address for clients, no files and no web pages.
func (b *embedded) start(hub string, log *natsLog) (*server.Server, error) {
	host, text, _ := net.SplitHostPort(b.own)
	port, _ := strconv.Atoi(text) // checkHostPort has checked it
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{
		ServerName:      hub,
		Host:            "127.0.0.1",
		Port:            noPort,
		NoSigs:          true,
		NoSystemAccount: true,
		MaxPayload:      embeddedPayload,
		MaxPending:      embeddedPending,
		// The server disconnects a slow hub, because stalling the publishers would slow down all hubs.
		NoFastProducerStall:   true,
		ReconnectErrorReports: server.DEFAULT_CONNECT_ERROR_REPORTS, // one line, not one each second
		Cluster: server.ClusterOpts{
			Name: b.name,
			Host: host,
			Port: port,
			// Each other hub has one connection, which carries both its subscriptions and the messages. So a message
			// never overtakes an earlier subscription. With more connections, the account would use only one of them
			// anyway.
			PoolSize:       1,
			Compression:    server.CompressionOpts{Mode: server.CompressionOff},
			PingInterval:   embeddedPing,
			MaxPingsOut:    embeddedPingsOut,
			ConnectRetries: embeddedRetries,
			NoAdvertise:    true,
			TLSConfig:      b.tls,
			TLSTimeout:     embeddedHandshake.Seconds(),
		},
	}
	for _, addr := range b.others {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: addr})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	s.SetLoggerV2(log, log.debugs(), false, false)
	s.Start()
	for end := time.Now().Add(awaitTimeout); s.ClusterAddr() == nil; time.Sleep(pollInterval) {
		if err := log.startError(); err != nil || time.Now().After(end) {
			stop(s)
			return nil, b.startError(err)
		}
	}
	return s, nil
}

// clusterError is an error of the command line. Its text is complete.
type clusterError struct{ text string }

func (e *clusterError) Error() string { return e.text }

func (b *embedded) startError(err error) error {
	_, port, _ := net.SplitHostPort(b.own)
	switch {
	case err == nil:
		return &clusterError{fmt.Sprintf("--cluster: the server at %s does not start", b.own)}
	case errors.Is(err, syscall.EADDRINUSE):
		return &clusterError{fmt.Sprintf("--cluster %s is in use: is there another hub? Take another port", b.own)}
	case errors.As(err, new(*net.DNSError)):
		return &clusterError{fmt.Sprintf("--cluster %s: this machine has no address of that name: its own address comes first; 0.0.0.0:%s means all its addresses", b.own, port)}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &clusterError{fmt.Sprintf("--cluster %s is not an address of this machine: its own address comes first; 0.0.0.0:%s means all its addresses", b.own, port)}
	}
	return &clusterError{fmt.Sprintf("--cluster %s: %v", b.own, err)}
}

// awaitOthers waits until every hub that replies knows this hub's subscriptions, at this time only subjectPresent, and
// until this hub knows theirs. On a connection, a hub's reply comes after its subscriptions.
func (b *embedded) awaitOthers(s *server.Server, nc *nats.Conn, log *natsLog) error {
	if _, err := nc.Subscribe(subjectPresent, func(m *nats.Msg) { _ = m.Respond([]byte(s.ID())) }); err != nil {
		return err
	}
	answers, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = answers.Unsubscribe() }() // it fails with the connection
	known := make(map[string]struct{})
	for end := time.Now().Add(awaitTimeout); time.Now().Before(end); {
		if n := s.NumRoutes(); len(known) >= n && n+log.unreachableHubs() >= len(b.others) {
			return nil
		}
		if err := nc.PublishRequest(subjectPresent, answers.Subject, nil); err != nil {
			return err
		}
		for {
			m, err := answers.NextMsg(pollInterval)
			if err != nil {
				break
			}
			known[string(m.Data)] = struct{}{}
		}
	}
	return nil
}
