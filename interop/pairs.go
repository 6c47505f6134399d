package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	wt "github.com/bigcompany/mesh/engineio/webtransport"
)

// Googollee takes the place of a version for googollee's library, in v1.4.2, its last version.
const Googollee = "googollee"

// A pair is a client and a server that exchange messages.
type pair struct {
	client, server string
	revision       engineio.Revision // of the protocol
	options        map[string]any    // of the server's library
	webtransport   bool              // used instead of polling and WebSocket; a foreign client runs in Chromium
	unavailable    string            // why the pair cannot be run; empty if it can
}

// allowEIO3 is the option with which servers of engine.io 4 and later also accept revision 3.
var allowEIO3 = map[string]any{"allowEIO3": true}

// ourPairs are the pairs with at least one end of ours: the rows of the table.
var ourPairs = []pair{
	{client: "1.4.1", server: ourEnd, revision: engineio.Revision3},
	{client: "2.1.1", server: ourEnd, revision: engineio.Revision3},
	{client: "3.5.4", server: ourEnd, revision: engineio.Revision3},
	{client: "6.6.8", server: ourEnd, revision: engineio.Revision4},
	{client: Googollee, server: ourEnd, revision: engineio.Revision3},

	{client: ourEnd, server: "1.4.1", revision: engineio.Revision3},
	{client: ourEnd, server: "1.8.5", revision: engineio.Revision3},
	{client: ourEnd, server: "2.1.1", revision: engineio.Revision3},
	{client: ourEnd, server: "3.6.2", revision: engineio.Revision3},
	{client: ourEnd, server: "6.6.13", revision: engineio.Revision3, options: allowEIO3},
	{client: ourEnd, server: "6.6.13", revision: engineio.Revision4},
	{client: ourEnd, server: Googollee, revision: engineio.Revision3},

	{client: "6.6.8", server: ourEnd, revision: engineio.Revision4, webtransport: true},
	{client: ourEnd, server: ourEnd, revision: engineio.Revision4, webtransport: true},
	{
		client: ourEnd, server: "6.6.13", revision: engineio.Revision4, webtransport: true,
		unavailable: "its WebTransport needs the package @fails-components/webtransport, whose native part npm does not have",
	},
}

// references are the pairs of two foreign peers. The pairs of one implementation come first. The other pairs show
// faults of features that the peer's own counterpart does not use, and faults between peers of different generations.
var references = []pair{
	{client: "1.4.1", server: "1.4.1", revision: engineio.Revision3},
	{client: "1.8.5", server: "1.8.5", revision: engineio.Revision3},
	{client: "2.1.1", server: "2.1.1", revision: engineio.Revision3},
	{client: "3.5.4", server: "3.6.2", revision: engineio.Revision3},
	{client: "6.6.8", server: "6.6.13", revision: engineio.Revision4},
	{client: Googollee, server: Googollee, revision: engineio.Revision3},
	{client: "3.5.4", server: Googollee, revision: engineio.Revision3},
	{client: Googollee, server: "3.6.2", revision: engineio.Revision3},
	{client: Googollee, server: "1.4.1", revision: engineio.Revision3},
	{client: "3.5.4", server: "6.6.13", revision: engineio.Revision3, options: allowEIO3},
	{client: "1.4.1", server: "6.6.13", revision: engineio.Revision3, options: allowEIO3},
}

func (p pair) String() string {
	s := fmt.Sprintf("%s and %s", p.clientName(), serverName(p.server))
	if p.webtransport {
		s += " over WebTransport"
	}
	return s
}

func (p pair) clientName() string {
	if p.webtransport && p.client != ourEnd {
		return clientName(p.client) + " in Chromium"
	}
	return clientName(p.client)
}

func (p pair) modes() []mode {
	if p.webtransport {
		return webtransportModes
	}
	return modes
}

// isOurs reports whether the pair is a row of the table. All other pairs are references.
func (p pair) isOurs() bool { return p.client == ourEnd || p.server == ourEnd }

// peer names the end that is not ours, or our client if both ends are ours.
func (p pair) peer() string {
	switch {
	case p.client == ourEnd && p.server == ourEnd:
		return "this project's client"
	case p.server == ourEnd:
		return p.clientName()
	default:
		return serverName(p.server)
	}
}

func clientName(version string) string {
	switch version {
	case ourEnd:
		return "our client"
	case Googollee:
		return "go-engine.io 1.4.2 (client)"
	}
	return "engine.io-client " + version
}

func serverName(version string) string {
	switch version {
	case ourEnd:
		return "our server"
	case Googollee:
		return "go-engine.io 1.4.2 (server)"
	}
	return "engine.io " + version
}

// start starts the processes of both ends. stop ends the processes and then returns their standard error.
func (p pair) start(ctx context.Context) (c clientSide, s serverSide, stop func() (stderr string), err error) {
	if p.webtransport {
		return p.startWebTransport(ctx)
	}
	var peers []*Peer
	client := makeOurClient(p.revision)
	stop = func() (stderr string) {
		client.stop()
		for _, peer := range peers {
			peer.Kill()
			stderr += peer.Stderr()
		}
		return stderr
	}
	run := func(script, version string) *Peer {
		if err != nil {
			return nil
		}
		var peer *Peer
		if peer, err = runEngine(ctx, script, version); err == nil {
			peers = append(peers, peer)
		}
		return peer
	}
	c, s = client, &ourServer{}
	if p.client != ourEnd {
		c = peerClient{peer: run(EngineClient, p.client)}
	}
	if p.server != ourEnd {
		s = peerServer{run(EngineServer, p.server), p.options}
	}
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return c, s, stop, nil
}

// startWebTransport is like start, for WebTransport to our server. The server has a self-signed certificate, which the
// client trusts. A page has another origin and trusts the certificate by its hash.
func (p pair) startWebTransport(ctx context.Context) (c clientSide, s serverSide, stop func() (stderr string), err error) {
	certificate, hash, err := wt.SelfSigned("127.0.0.1")
	if err != nil {
		return nil, nil, nil, err
	}
	s = &ourServer{certificate: certificate, origins: []string{"*"}}
	if p.client != ourEnd {
		page, err := RunBrowser(ctx, p.client)
		if err != nil {
			return nil, nil, nil, err
		}
		options := map[string]any{"serverCertificateHashes": []string{base64.StdEncoding.EncodeToString(hash[:])}}
		return peerClient{page, options}, s, func() string {
			if err := page.Quit(); err != nil {
				return page.Stderr() + err.Error()
			}
			return page.Stderr()
		}, nil
	}
	client := makeOurClient(p.revision)
	trusted := x509.NewCertPool()
	trusted.AddCert(certificate.Leaf)
	client.quic = &wt.Dialer{TLSConfig: &tls.Config{RootCAs: trusted}}
	return client, s, func() string { client.stop(); return "" }, nil
}
