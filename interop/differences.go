package interop

// Difference is a response of our server that differs from the response of engine.io 6.6.13.
type Difference struct {
	// Where lists the places, each "script: step". In all patterns of a Difference, * matches any text.
	Where []string
	// Field names the part that differs: a header, or status, body, connection (open or closed), answer (status, body
	// and connection, if the status differs), frame, sessions (the number of open sessions) and so on.
	Field string
	// Ours and Theirs are the values of our server and of engine.io. Empty means that the server sends no value.
	Ours, Theirs string
	// Reason explains the difference.
	Reason string
}

// Differences lists all differences. The differential test fails if it finds a difference that is not listed, and if it
// does not find a listed difference.
var Differences = []Difference{
	// Form.
	{
		Where: []string{"*"}, Field: "Transfer-Encoding", Ours: "", Theirs: "chunked",
		Reason: "Node.js sends a body in chunks if the program did not set its length, even an empty body. net/http sends " +
			"the length.",
	},
	{
		Where: []string{"*"}, Field: "Content-Length", Ours: "*", Theirs: "",
		Reason: "The same: net/http sends the length.",
	},
	{
		Where: []string{"session IDs from a hook: open*"}, Field: "Content-Length", Ours: "122", Theirs: "118",
		Reason: "Our session IDs have 24 characters with 144 random bits. Those of the reference have 20 characters with " +
			"88 random bits and a counter.",
	},
	{
		Where: []string{"no Host: handshake"}, Field: "*", Ours: "*", Theirs: "",
		Reason: "net/http rejects the request with a line of text.",
	},
	{
		Where: []string{"payload, revision 3: unicode to a client that reads binary: poll"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "Revision 3 has two dialects of text, and parsers cannot tell them apart. All parsers read the binary " +
			"form in the same way.",
	},

	{
		Where: []string{"refused by the program: *"}, Field: "body", Ours: `{*\u003croom\u003e \u0026 *`, Theirs: "{*<room> & *",
		Reason: "JSON may escape the characters that have a meaning in HTML.",
	},

	// Origins and CORS.
	{
		Where: []string{"pages of other origins: *", "CORS: another origin"}, Field: "answer", Ours: "40*Forbidden*", Theirs: "*",
		Reason: "The server rejects pages of other origins unless an option admits them. Otherwise any page could use its " +
			"visitor's network and cookies.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for all origins: preflight"},
		Field: "Access-Control-Allow-Methods", Ours: "*", Theirs: "GET,HEAD,PUT,PATCH,POST,DELETE",
		Reason: "The CORS library names the requested method if the server supports it.",
	},
	{
		Where: []string{"CORS preflight: DELETE"}, Field: "Access-Control-Allow-*", Ours: "", Theirs: "*",
		Reason: "The server supports no requests by DELETE.",
	},
	{
		Where: []string{"CORS preflight: another origin", "CORS: open*", "CORS: another origin, refused anyway"},
		Field: "Access-Control-Allow-Credentials", Ours: "", Theirs: "true",
		Reason: "The CORS library sends no permission to an origin that it does not admit.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for all origins: *"},
		Field: "Vary", Ours: "Origin*", Theirs: "*",
		Reason: "The CORS library names all headers on which the response depends, for caches.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for all origins: preflight"}, Field: "Content-Length", Ours: "", Theirs: "0",
		Reason: "RFC 9110 allows no Content-Length in a 204.",
	},
	{
		Where: []string{"CORS preflight: no origin", "CORS preflight: no preflight"}, Field: "answer", Ours: "400*Bad handshake method*", Theirs: "204, open",
		Reason: "The CORS library treats a request as a preflight only if it has the headers of a preflight.",
	},
	{
		Where: []string{"CORS: websocket, refused"}, Field: "*", Ours: "*", Theirs: "",
		Reason: "The reference sends this response without its CORS library. The CORS headers have no effect on a " +
			"WebSocket.",
	},

	// Bodies.
	{
		Where: []string{"payload, *: post", "polling, revision *: no content: post", "JSONP: errors: malformed", "JSONP: a form: d=*: post"}, Field: "answer", Ours: "400, open", Theirs: "200, ok, open",
		Reason: "A malformed payload gets status 400, so that the client learns of it. The reference responds with 200.",
	},
	{
		Where: []string{
			"payload, revision 3, binary form: a length too large: poll", "payload, revision 3: a length with a sign: poll",
			"payload, revision 3: bad base64: poll", "payload, revision 4: bad base64: poll",
			"payload, revision 4: binary as in revision 3: poll", "payload, revision 4: invalid UTF-8: poll",
		},
		Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, *",
		Reason: "The server ends the session after a malformed payload. The reference repairs it: it accepts a length " +
			"beyond the end of the payload, skips characters that are not base64, and replaces invalid UTF-8 by U+FFFD.",
	},
	{
		Where: []string{"payload, revision 3: length 0: poll", "payload, revision 3, binary form: empty: poll"},
		Field: "answer", Ours: "400*Session ID unknown*", Theirs: "none: silence",
		Reason: "An empty payload and a packet without length are malformed.",
	},
	{
		Where: []string{
			"payload, revision 3: length 0: after", "payload, revision 3: a length with a sign: after",
			"payload, revision 3: bad base64: after",
		},
		Field: "sessions", Ours: "0", Theirs: "1",
		Reason: "The same.",
	},
	{
		Where: []string{
			"limit: *: post", "payload, revision 4: a binary body: post", "polling, revision *: overlapping posts: second",
		},
		Field: "*onnection", Ours: "close*", Theirs: "*",
		Reason: "The server does not read a rejected body, so it closes the connection. The reference reads the body, or " +
			"closes the connection without the header.",
	},
	{
		Where: []string{"polling, revision *: overlapping posts: first"}, Field: "answer", Ours: "400, *", Theirs: "none: closed",
		Reason: "net/http responds before it closes the connection.",
	},

	// WebSocket handshakes.
	{
		Where: []string{"websocket handshake: Upgrade of two: *"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "A sender may split a list over several header lines (RFC 9110, 5.3). The reference reads the lines as " +
			"one protocol.",
	},
	{
		Where: []string{"refused: *: upgrade"}, Field: "answer", Ours: "400, Unsupported protocol version, closed", Theirs: "101",
		Reason: "The server rejects an unsupported revision before the handshake, so that clients see an error. The " +
			"reference accepts the handshake, and then sends an HTTP error on the WebSocket, or closes it.",
	},
	{
		Where: []string{"refused: *: frame"}, Field: "frame", Ours: "", Theirs: "close *",
		Reason: "The same: the reference sends the error after the handshake.",
	},
	{
		Where: []string{"refused: websocket disabled: upgrade"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The reference treats the handshake as a request by polling. Our server responds as to a WebSocket " +
			"handshake.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "body", Ours: "*", Theirs: "*",
		Reason: "The text of the error is the WebSocket library's.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "Content-*", Ours: "*", Theirs: "*",
		Reason: "The same.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "Connection", Ours: "keep-alive", Theirs: "close",
		Reason: "The library closes the connection without the header that announces this.",
	},
	{
		Where: []string{"websocket handshake: no version: handshake"}, Field: "Sec-Websocket-Version", Ours: "", Theirs: "13, 8",
		Reason: "The library sends this header with status 426 only.",
	},
	{
		Where: []string{"websocket handshake: version 8: handshake", "websocket handshake: version 12: handshake"},
		Field: "answer", Ours: "426, *", Theirs: "*",
		Reason: "RFC 6455, 4.2.2, requires status 426. Version 8 was a draft.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: handshake"}, Field: "answer", Ours: "505, *", Theirs: "101",
		Reason: "RFC 6455, 4.2.1, requires HTTP/1.1.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: *", "websocket handshake: version 8: *"}, Field: "frame", Ours: "", Theirs: "*",
		Reason: "The same: the reference opens a session.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: after", "websocket handshake: version 8: after"}, Field: "sessions", Ours: "0", Theirs: "1",
		Reason: "The same.",
	},
	{
		Where: []string{"websocket handshake: Upgrade: h2c: handshake"},
		Field: "connection", Ours: "open", Theirs: "closed",
		Reason: "The server ignores an upgrade to another protocol, and handles the request as one without an upgrade. " +
			"The reference passes every upgrade to its WebSocket library.",
	},
	{
		Where: []string{"websocket: subprotocols: bad", "websocket: subprotocols: twice the same"},
		Field: "answer", Ours: "101", Theirs: "400, Invalid Sec-WebSocket-Protocol header, closed",
		Reason: "The library takes the first subprotocol and ignores the others.",
	},

	// WebSockets.
	{
		Where: []string{"websocket, revision *: close packet: answer 1"}, Field: "frame", Ours: `close "", closed`, Theirs: `01 "4after"`,
		Reason: "A close packet closes the session. The reference ignores it on a WebSocket.",
	},
	{
		Where: []string{
			"websocket, revision *: bad base64: answer 1", "websocket, revision 3: empty binary: answer 1",
			"websocket, revision 3: binary that is no message: answer 1", "websocket, revision 3: binary of an unknown type: answer 1",
		},
		Field: "frame", Ours: `close "", closed`, Theirs: "*",
		Reason: "A malformed packet ends the session. The reference skips characters that are not base64. It reads a " +
			"binary frame as a packet of any type, or ignores it.",
	},
	{
		Where: []string{
			"websocket, revision 3: empty binary: after", "websocket, revision 3: binary that is no message: after",
			"websocket, revision 3: binary of an unknown type: after",
		},
		Field: "sessions", Ours: "0", Theirs: "1",
		Reason: "The same.",
	},
	{
		Where: []string{"websocket, revision *: length 2^63: answer 1"}, Field: "frame",
		Ours: `close "\x03\xea", closed`, Theirs: `close "\x03\xf1", closed`,
		Reason: "A length with the highest bit set violates RFC 6455, 5.2, so the close code is 1002. The reference sends " +
			"1009, too large.",
	},
	{
		Where: []string{"websocket: frames behind the handshake: echo"}, Field: "frame", Ours: `01 "4x"`, Theirs: "silence",
		Reason: "The reference loses messages that arrive before its handler subscribes.",
	},
	{
		Where: []string{"*: without an upgrade"}, Field: "answer", Ours: "400*Bad request*", Theirs: "none: silence",
		Reason: "The reference never responds to a request without an upgrade for a session on a WebSocket.",
	},
	{
		Where: []string{"websocket, revision *: another WebSocket: probe"}, Field: "frame", Ours: `close "", closed`, Theirs: `01 "3probe"`,
		Reason: "A session on a WebSocket cannot upgrade to another WebSocket.",
	},

	{
		Where: []string{"websocket, revision *: close frame 1001 with a reason: answer 1", "websocket, revision *: close frame 4999: answer 1"},
		Field: "frame", Ours: "close *", Theirs: "close *",
		Reason: "The server responds to a close frame with the same code, and without the peer's reason.",
	},

	{
		Where: []string{"heartbeat: silence on a websocket: end*"}, Field: "frame", Ours: "closed", Theirs: `close "", closed`,
		Reason: "A silent peer gets no close frame, because the write could block.",
	},

	// permessage-deflate.
	{
		Where: []string{"permessage-deflate: offer: *: handshake"}, Field: "Sec-Websocket-Extensions",
		Ours: "permessage-deflate;server_no_context_takeover;client_no_context_takeover", Theirs: "permessage-deflate*",
		Reason: "Neither end keeps a compression context. It would cost each session 32 KB at one end and 1 MB at the " +
			"other.",
	},
	{
		Where: []string{"permessage-deflate: offer: permessage-deflate; server_max_window_bits=10: handshake"},
		Field: "Sec-Websocket-Extensions", Ours: "", Theirs: "permessage-deflate;server_max_window_bits=10",
		Reason: "compress/flate has one window size, so the server declines an offer with another size.",
	},
	{
		Where: []string{"permessage-deflate: offer: *: open packet"}, Field: "frame", Ours: `01 "0{*`, Theirs: `compressed 01 "0{*`,
		Reason: "The server does not compress short messages. The reference compresses all messages if it keeps a context.",
	},
	{
		Where: []string{"permessage-deflate: offer: *unknown: handshake", "permessage-deflate: offer: *=99: handshake"},
		Field: "answer", Ours: "101", Theirs: "400, Invalid or unacceptable Sec-WebSocket-Extensions header, closed",
		Reason: "RFC 7692, 7: the server declines an offer that is not valid.",
	},
	{
		Where: []string{"permessage-deflate: offer: *unknown: handshake: open packet", "permessage-deflate: offer: *=99: handshake: open packet"},
		Field: "frame", Ours: `01 "0{*`, Theirs: "closed",
		Reason: "The same.",
	},

	// Cookies.
	{
		Where: []string{"cookie*: websocket"}, Field: "Set-Cookie", Ours: "*=SID; *", Theirs: "",
		Reason: "The server also sets a cookie for a session that starts with a WebSocket.",
	},

	// Closing.
	{
		Where: []string{"the server closes with messages to send: messages"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The server sends the close packet with the last message. The reference sends it in the response to the " +
			"next poll.",
	},
	{
		Where: []string{"the server closes with messages to send: after"}, Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, 6\x1e1, open",
		Reason: "The same: the next poll.",
	},

	// JSONP.
	{
		Where: []string{"JSONP: *"}, Field: "Content-Type", Ours: "text/javascript; charset=UTF-8", Theirs: "text/plain; charset=UTF-8",
		Reason: "With nosniff, no browser reads the response as a page, even if peers put HTML into it, and no browser " +
			"runs text/plain as a script.",
	},
	{
		Where: []string{"JSONP: *"}, Field: "X-Content-Type-Options", Ours: "nosniff", Theirs: "",
		Reason: "The same.",
	},
	{
		Where: []string{"JSONP: off: handshake"}, Field: "answer", Ours: "400*Transport unknown*", Theirs: "200, *",
		Reason: "JSONP is off unless an option enables it, because a script tag sends no Origin header.",
	},
	{
		Where: []string{"JSONP: a page of another origin: handshake"}, Field: "answer", Ours: "403*Forbidden*", Theirs: "200, *",
		Reason: "The server rejects pages of other origins here too, if other headers show the origin.",
	},

	{
		Where: []string{"JSONP: echo*: poll for several", "JSONP: text that could end a script: poll for tags"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "A string in a script may escape the characters that have a meaning in HTML.",
	},

	{
		Where: []string{"JSONP: a form: d=4%zz: then", "JSONP: a form: d=4%zz: poll"}, Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, *",
		Reason: "A form with an invalid escape is malformed. The reference reads the escape as text.",
	},
	{
		Where: []string{"JSONP: a form: d: then", "JSONP: a form: d: poll"}, Field: "answer", Ours: "200, *", Theirs: "400*Session ID unknown*",
		Reason: "A field without = has no payload. The reference reads it as an empty payload, which is malformed.",
	},
	{
		Where: []string{"JSONP: a form: %64=4x: poll"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The name of the field is a literal d. No client escapes it.",
	},

	// Upgrades.
	{
		Where: []string{"upgrade: not allowed: answer"}, Field: "frame", Ours: `close "", closed`, Theirs: `01 "3probe"`,
		Reason: "The server rejects an upgrade that is not allowed. The reference does not offer it, but accepts it.",
	},
	{
		Where: []string{"upgrade, revision *: a close packet is posted: frame"},
		Field: "frame", Ours: "closed", Theirs: `close "", closed`,
		Reason: "When the server gives up an upgrade, it closes the connection of the WebSocket at once, without waiting " +
			"for writes in progress.",
	},
	{
		Where: []string{"upgrade: never finished: end"},
		Field: "frame", Ours: "silence", Theirs: `close "", closed`,
		Reason: "A stock client that has received 3probe has stopped polling. If the server closed its WebSocket, the " +
			"client would neither poll nor send again. So the server waits until the client's heartbeat fails.",
	},
}
