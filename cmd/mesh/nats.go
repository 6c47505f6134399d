package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// existing is the backplane of --nats: a connection with a NATS server, which lasts while the hub is a member. A node
// of 'mesh start' that is not a hub has no such connection.
type existing struct {
	membership
	urls  string // separated by commas; they may contain passwords
	shown string // the same without passwords
	opts  []nats.Option
}

// existing returns the backplane of --nats.
func (f *clusterFlags) existing(urls string, opts *mesh.Options, logs *logFlags) (mesh.Backplane, error) {
	source := "--nats"
	if f.nats == "" {
		source = natsVariable
	}
	var shown []string
	for text := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil || u.Host == "" || u.Opaque != "": // the error must not quote the text, which may contain a password
			return nil, errors.New(source + ": give a URL such as nats://nats.example.com:4222, or tls:// for TLS")
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "": // these parts may contain one too
			return nil, errors.New(source + ": a URL must not have a path, query or fragment: in a user or password, write / as %2F, ? as %3F, # as %23 and a comma as %2C")
		case u.User != nil && f.nats != "":
			return nil, fmt.Errorf("--nats must not have a user or password in it, which others could read: set the environment variable %s to the URL, or give --nats-creds FILE", natsVariable)
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return nil, errors.New(source + ": the scheme of a URL must be nats, tls, ws or wss")
		}
		shown = append(shown, u.Scheme+"://"+u.Host)
	}
	b := &existing{urls: urls, shown: strings.Join(shown, ",")}
	b.name, b.logger, b.notice, b.maxMessage = f.name, opts.Logger, logs.notice, opts.MaxMessage
	b.opts = []nats.Option{natsbackplane.Settings, b.logErrors(), nats.Name("mesh hub")}
	if f.credsFile != "" {
		if _, err := os.Stat(f.credsFile); err != nil {
			return nil, fmt.Errorf("--nats-creds: %w", err)
		}
		b.opts = append(b.opts, nats.UserCredentials(f.credsFile))
	}
	if opts.CAFile != "" { // mesh.Options checks that the file exists
		b.opts = append(b.opts, nats.RootCAs(opts.CAFile))
	}
	return b, nil
}

// Join implements mesh.Backplane. If the server is away, the connection waits for it and the hub does not.
func (b *existing) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	nc, err := nats.Connect(b.urls, b.opts...)
	if isAway(err) {
		b.logger.Warn("mesh: the NATS server does not answer: this hub cannot reach other hubs until it does", "url", b.shown, "error", err)
		nc, err = nats.Connect(b.urls, append(b.opts, nats.RetryOnFailedConnect(true))...)
	}
	if err != nil {
		return nil, &clusterError{fmt.Sprintf("the NATS server at %s rejects this hub: %s", b.shown, strings.TrimPrefix(err.Error(), "nats: "))}
	}
	if nc.IsConnected() {
		b.notice("joins other hubs through the NATS server at "+b.shown, "nats", b.shown)
	}
	return b.join(nc, hub, receive, nc.Close, nil)
}

// isAway reports whether a server may come back by itself. A server that rejects the hub's credentials is not away.
func isAway(err error) bool {
	var failed net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) || errors.As(err, &failed)
}
