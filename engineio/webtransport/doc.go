// Package webtransport carries Engine.IO sessions over WebTransport, that is, over HTTP/3 on UDP. Sessions start with
// WebTransport, or move to it from long-polling. This package is separate from package engineio so that only programs
// that use it contain QUIC. WebTransport needs revision 4 of the protocol.
//
// A server listens on UDP in addition to the HTTP server, usually on the same port number, since stock clients take one
// URL for both. The engineio.Server must list the transport:
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
// The engineio.Server applies its checks: path, origin, AllowRequest, revision. A page has another origin if it was
// served on another port number than the WebTransport server's, or over another scheme than HTTPS.
//
// Browsers require a certificate that they trust, or a certificate whose SHA-256 hash the page passes as
// serverCertificateHashes. The latter must have an ECDSA key and be valid for at most 14 days.
//
// A client uses the transport by an option of engineio.Dial:
//
//	s, err := engineio.Dial(ctx, "https://example.com", &engineio.DialOptions{
//		WebTransport: new(webtransport.Dialer).Dial,
//	})
//
// # Limits
//
// A [Server] accepts MaxSessions connections. Each carries one session on one stream; the server does not read other
// streams. It closes a connection without a session after 10 s. In addition to the memory of a session in package
// engineio, a connection buffers at most 1 MiB of received data that the reader has not read.
//
// An idle session costs about 110 KB at a server, nearly all of it in QUIC: fifteen times the cost of a session on a
// WebSocket. WebTransport has no advantage in networks that permit WebSockets and seldom lose packets.
package webtransport
