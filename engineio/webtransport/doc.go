// Package webtransport carries Engine.IO sessions over WebTransport, that is HTTP/3 on UDP: sessions that start with it,
// and sessions that move to it from long-polling. It is apart from package engineio so that only programs that use it
// contain QUIC. WebTransport is for revision 4 of the protocol.
//
// A server listens on UDP beside the HTTP server, usually on the same port number, since stock clients take one URL for
// both. The engineio.Server must list the transport:
//
//	engine := engineio.NewServer(handler, &engineio.ServerOptions{
//		Transports: []engineio.Transport{engineio.Polling, engineio.WebSocket, engineio.WebTransport},
//	})
//	http.Handle("/engine.io/", engine)
//	go http.ListenAndServeTLS(":443", "cert.pem", "key.pem", nil)
//
//	srv := webtransport.NewServer(engine, &webtransport.ServerOptions{TLSConfig: config})
//	go srv.ListenAndServe(":443")
//	defer srv.Close() // after engine.Shutdown, which closes the sessions
//
// The checks of the engineio.Server apply: path, origin, AllowRequest, revision. A page that is served on another port
// number than the WebTransport server's, or over another scheme than HTTPS, is of another origin.
//
// Browsers ask for a certificate that they trust, or for one whose SHA-256 the page passes as serverCertificateHashes:
// that must have an ECDSA key and be valid for 14 days at most.
//
// A client gets the transport as an option of engineio.Dial:
//
//	s, err := engineio.Dial(ctx, "https://example.com", &engineio.DialOptions{
//		WebTransport: new(webtransport.Dialer).Dial,
//	})
//
// # Limits
//
// A [Server] takes MaxSessions connections, each of which carries one session on one stream; other streams stay unread.
// A connection without a session is closed after 10 s. Beyond what package engineio allows a session, a connection buffers
// at most 1 MiB of what the peer sent and the reader has not taken.
//
// An idle session costs some 110 KB at a server, nearly all of it QUIC's: fifteen times what one on a WebSocket does.
// Where WebSockets get through and packets are seldom lost, WebTransport gains nothing.
package webtransport
