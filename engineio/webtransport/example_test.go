package webtransport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"

	"github.com/quic-go/quic-go/http3"
	quicwt "github.com/quic-go/webtransport-go"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/webtransport"
)

// This session uses WebTransport from the start. An HTTP server for the other transports would listen at the same
// address on TCP.
func ExampleNewServer() {
	certificate, _, err := webtransport.SelfSigned("127.0.0.1") // only for this example: a real program loads a certificate that browsers trust
	if err != nil {
		fmt.Println(err)
		return
	}
	engine := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_ = s.Write(ctx, engineio.Text("hello"))
	}), &engineio.ServerOptions{
		Transports: []engineio.Transport{engineio.Polling, engineio.WebSocket, engineio.WebTransport},
	})
	srv := webtransport.NewServer(engine, &webtransport.ServerOptions{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	go func() { _ = srv.Serve(conn) }() // until Close
	defer srv.Close()                   // closes the connections after the sessions
	defer engine.Close()

	trusted := x509.NewCertPool()
	trusted.AddCert(certificate.Leaf)
	dialer := &webtransport.Dialer{TLSConfig: &tls.Config{RootCAs: trusted}}
	ctx := context.Background()
	s, err := engineio.Dial(ctx, "https://"+conn.LocalAddr().String(), &engineio.DialOptions{
		Transports:   []engineio.Transport{engineio.WebTransport},
		WebTransport: dialer.Dial,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	m, _ := s.Read(ctx)
	fmt.Printf("%s, by %s\n", m.Data, s.Transport())
	// Output: hello, by webtransport
}

// A program that has an HTTP/3 server serves all transports with it.
func ExampleHandler() {
	engine := engineio.NewServer(engineio.HandlerFunc(func(context.Context, *engineio.Socket) {}), &engineio.ServerOptions{
		Transports: []engineio.Transport{engineio.Polling, engineio.WebTransport},
	})
	defer func() { _ = engine.Close() }()
	mux := http.NewServeMux()
	own := &quicwt.Server{
		H3:          &http3.Server{Addr: ":443", Handler: mux},
		CheckOrigin: func(*http.Request) bool { return true }, // engine checks the origin
	}
	mux.Handle("/engine.io/", webtransport.Handler(own, engine))
	quicwt.ConfigureHTTP3Server(own.H3)
	fmt.Println(own.H3.Addr) // a program then calls own.ListenAndServeTLS("cert.pem", "key.pem")
	// Output: :443
}
