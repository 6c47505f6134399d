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

// embedded is the backplane of --cluster: a NATS server in this process, which runs while the hub is a member and which
// has one connection with the server of each other hub. A node of 'mesh start' that is no hub has none.
type embedded struct {
	membership
	own    string // host:port where other hubs reach this one
	others []string
	tls    *tls.Config // nil without a secret
}

// Bounds of the server.
const (
	// embeddedPayload is what it carries at once: an event, and what hubs add.
	embeddedPayload = 2 * mesh.DefaultMaxMessage
	// embeddedPending is what waits for one other hub, in bytes. Beyond that the connection is ended and made anew.
	embeddedPending = 64 << 20
	// A connection whose end is silent for so many pings, one a second, is ended: as hubs are, which are gone after 3 s.
	embeddedPing     = time.Second
	embeddedPingsOut = 3
	// embeddedHandshake bounds the time for TLS.
	embeddedHandshake = 2 * time.Second
	// embeddedRetries is how often, once a second, a hub is called that nobody has named to this one, after it was lost.
	// Those that are named are called for ever.
	embeddedRetries = 600
	// meetTimeout bounds how long a hub waits for the others before it serves, meetPause is the time between two looks.
	meetTimeout = 2 * time.Second
	meetPause   = 10 * time.Millisecond
)

// noPort is where the server is to listen for NATS clients, of which it has one, in this process. There is no such port, so
// that it cannot. The option that says this in words, DontListen, has it wait for ever before it calls other servers.
const noPort = 1 << 16

// subjectMeet is where a hub's server asks who is there. It is none of those that events have.
const subjectMeet = "_mesh_meet"

// Join implements mesh.Backplane. It returns when this hub and those that answer know what each of them wants to hear.
func (b *embedded) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	log := &natsLog{logger: b.logger}
	s, err := b.start(hub, log)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect("", natsbackplane.Settings, b.complaints(), nats.InProcessServer(s))
	if err != nil {
		stop(s)
		return nil, err
	}
	end := func() {
		nc.Close()
		stop(s)
	}
	if err := b.meet(s, nc, log); err != nil {
		end()
		return nil, err
	}
	met := s.NumRoutes()
	host, _, _ := net.SplitHostPort(b.own)
	own := net.JoinHostPort(host, strconv.Itoa(s.ClusterAddr().Port)) // as it was given, whatever the system makes of 0.0.0.0
	b.notice(fmt.Sprintf("other hubs reach this one at %s; %d of %d answer now", own, met, max(len(b.others), met)),
		"cluster", own, "hubs", met)
	return b.join(nc, hub, receive, end, s.Running)
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// start starts the server. What it can do beside this is left off: it has no address for clients, no files, no web pages.
func (b *embedded) start(hub string, log *natsLog) (*server.Server, error) {
	host, text, _ := net.SplitHostPort(b.own)
	port, _ := strconv.Atoi(text) // it was checked
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
		// A slow hub is cut off; to slow down those who send would slow down all hubs.
		NoFastProducerStall:   true,
		ReconnectErrorReports: server.DEFAULT_CONNECT_ERROR_REPORTS, // one line, not one a second
		Cluster: server.ClusterOpts{
			Name: b.name,
			Host: host,
			Port: port,
			// One connection with each other hub, which has both what that one wants to hear and the messages: a message never
			// overtakes the interest that was there before it. With more, the account would choose one of them anyway.
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
	for end := time.Now().Add(meetTimeout); s.ClusterAddr() == nil; time.Sleep(meetPause) {
		if err := log.fatal(); err != nil || time.Now().After(end) {
			stop(s)
			return nil, b.explain(err)
		}
	}
	return s, nil
}

// clusterError is one of the command line. It says all there is.
type clusterError struct{ text string }

func (e *clusterError) Error() string { return e.text }

func (b *embedded) explain(err error) error {
	_, port, _ := net.SplitHostPort(b.own)
	switch {
	case err == nil:
		return &clusterError{fmt.Sprintf("--cluster: the server at %s does not start", b.own)}
	case errors.Is(err, syscall.EADDRINUSE):
		return &clusterError{fmt.Sprintf("--cluster %s is in use: is there another hub? Take another port", b.own)}
	case errors.As(err, new(*net.DNSError)):
		return &clusterError{fmt.Sprintf("--cluster %s: this machine knows no address of that name: its own comes first; 0.0.0.0:%s means all that it has", b.own, port)}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &clusterError{fmt.Sprintf("--cluster %s is not an address of this machine: its own comes first; 0.0.0.0:%s means all that it has", b.own, port)}
	}
	return &clusterError{fmt.Sprintf("--cluster %s: %v", b.own, err)}
}

// meet waits until every hub that answers knows what is wanted here, which is nothing yet but this question, and until
// what they want is known here. An answer comes behind the latter on the same connection.
func (b *embedded) meet(s *server.Server, nc *nats.Conn, log *natsLog) error {
	if _, err := nc.Subscribe(subjectMeet, func(m *nats.Msg) { _ = m.Respond([]byte(s.ID())) }); err != nil {
		return err
	}
	answers, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = answers.Unsubscribe() }() // it fails with the connection
	known := make(map[string]struct{})
	for end := time.Now().Add(meetTimeout); time.Now().Before(end); {
		if n := s.NumRoutes(); len(known) >= n && n+log.unanswered() >= len(b.others) {
			return nil
		}
		if err := nc.PublishRequest(subjectMeet, answers.Subject, nil); err != nil {
			return err
		}
		for {
			m, err := answers.NextMsg(meetPause)
			if err != nil {
				break
			}
			known[string(m.Data)] = struct{}{}
		}
	}
	return nil
}
