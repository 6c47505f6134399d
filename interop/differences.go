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
		Reason: "Node.js sends a body in chunks whose length the program did not set, of no bytes too. net/http knows it.",
	},
	{
		Where: []string{"*"}, Field: "Content-Length", Ours: "*", Theirs: "",
		Reason: "The same seen from here.",
	},
	{
		Where: []string{"session IDs of the server's own: open*"}, Field: "Content-Length", Ours: "122", Theirs: "118",
		Reason: "Session IDs have 24 characters, 144 random bits; theirs 20, 88 random bits and a counter.",
	},
	{
		Where: []string{"no Host: handshake"}, Field: "*", Ours: "*", Theirs: "",
		Reason: "net/http refuses it with a line of text.",
	},
	{
		Where: []string{"payload, revision 3: unicode to a client that reads binary: poll"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "Two dialects of text exist in revision 3, which parsers take for each other; all read the binary form alike.",
	},

	{
		Where: []string{"refused by the program: *"}, Field: "body", Ours: `{*\u003croom\u003e \u0026 *`, Theirs: "{*<room> & *",
		Reason: "JSON may escape what means something in HTML.",
	},

	// Origins and CORS.
	{
		Where: []string{"pages of other origins: *", "CORS: another origin"}, Field: "answer", Ours: "40*Forbidden*", Theirs: "*",
		Reason: "Pages of other origins are refused unless an option admits them: any page could use its visitor's network and " +
			"cookies.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for everybody: preflight"},
		Field: "Access-Control-Allow-Methods", Ours: "*", Theirs: "GET,HEAD,PUT,PATCH,POST,DELETE",
		Reason: "The CORS library names the method asked for, if it is served.",
	},
	{
		Where: []string{"CORS preflight: DELETE"}, Field: "Access-Control-Allow-*", Ours: "", Theirs: "*",
		Reason: "No session is served by DELETE.",
	},
	{
		Where: []string{"CORS preflight: another origin", "CORS: open*", "CORS: another origin, refused anyway"},
		Field: "Access-Control-Allow-Credentials", Ours: "", Theirs: "true",
		Reason: "The CORS library admits nothing where there is no origin that it admits.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for everybody: *"},
		Field: "Vary", Ours: "Origin*", Theirs: "*",
		Reason: "The CORS library names all that the answer depends on, for caches that know one answer only by it.",
	},
	{
		Where: []string{"CORS preflight: *", "CORS for everybody: preflight"}, Field: "Content-Length", Ours: "", Theirs: "0",
		Reason: "RFC 9110 has no Content-Length in a 204.",
	},
	{
		Where: []string{"CORS preflight: no origin", "CORS preflight: no preflight"}, Field: "answer", Ours: "400*Bad handshake method*", Theirs: "204, open",
		Reason: "The CORS library takes for a preflight what has the headers of one.",
	},
	{
		Where: []string{"CORS: websocket, refused"}, Field: "*", Ours: "*", Theirs: "",
		Reason: "The reference writes this answer past the CORS library. It means nothing to a browser.",
	},

	// Bodies.
	{
		Where: []string{"payload, *: post", "polling, revision *: no content: post", "JSONP: errors: malformed", "JSONP: a form: d=*: post"}, Field: "answer", Ours: "400, open", Theirs: "200, ok, open",
		Reason: "A payload that does not parse gets 400, so that the client learns of it. Either side ends the session.",
	},
	{
		Where: []string{
			"payload, revision 3, binary form: a length too large: poll", "payload, revision 3: a length with a sign: poll",
			"payload, revision 3: bad base64: poll", "payload, revision 4: bad base64: poll",
			"payload, revision 4: binary as in revision 3: poll", "payload, revision 4: invalid UTF-8: poll",
		},
		Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, *",
		Reason: "What the payload does not say is not guessed: Node.js cuts off what is too short, skips what is no base64, and " +
			"puts U+FFFD for what is no UTF-8.",
	},
	{
		Where: []string{"payload, revision 3: length 0: poll", "payload, revision 3, binary form: empty: poll"},
		Field: "answer", Ours: "400*Session ID unknown*", Theirs: "none: silence",
		Reason: "An empty payload, and a packet of no length, are none.",
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
		Reason: "The connection ends with a rejected body, which is not read. The reference reads the body, or ends the connection without a header.",
	},
	{
		Where: []string{"polling, revision *: overlapping posts: first"}, Field: "answer", Ours: "400, *", Theirs: "none: closed",
		Reason: "The connection belongs to net/http, which answers before it closes it.",
	},

	// WebSocket handshakes.
	{
		Where: []string{"websocket handshake: Upgrade of two: *"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "A sender may split a list over several field lines (RFC 9110, 5.3). The reference reads the lines as one protocol.",
	},
	{
		Where: []string{"refused: *: upgrade"}, Field: "answer", Ours: "400, Unsupported protocol version, closed", Theirs: "101",
		Reason: "An unsupported revision is refused before the handshake, so that clients see an error. The reference accepts, and " +
			"sends an HTTP error on the WebSocket, or closes.",
	},
	{
		Where: []string{"refused: *: frame"}, Field: "frame", Ours: "", Theirs: "close *",
		Reason: "The same: what stands where frames are expected.",
	},
	{
		Where: []string{"refused: websocket disabled: upgrade"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The reference then takes it for a request by polling. A WebSocket handshake gets the answer of one.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "body", Ours: "*", Theirs: "*",
		Reason: "What is wrong with a handshake says the WebSocket library, in its words.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "Content-*", Ours: "*", Theirs: "*",
		Reason: "The same.",
	},
	{
		Where: []string{"websocket handshake: *: handshake", "websocket: subprotocols: none"}, Field: "Connection", Ours: "keep-alive", Theirs: "close",
		Reason: "The library does not say that it closes the connection, but does.",
	},
	{
		Where: []string{"websocket handshake: no version: handshake"}, Field: "Sec-Websocket-Version", Ours: "", Theirs: "13, 8",
		Reason: "The library says it with 426 only.",
	},
	{
		Where: []string{"websocket handshake: version 8: handshake", "websocket handshake: version 12: handshake"},
		Field: "answer", Ours: "426, *", Theirs: "*",
		Reason: "RFC 6455, 4.2.2. Version 8 was a draft.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: handshake"}, Field: "answer", Ours: "505, *", Theirs: "101",
		Reason: "RFC 6455, 4.2.1, asks for HTTP/1.1.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: *", "websocket handshake: version 8: *"}, Field: "frame", Ours: "", Theirs: "*",
		Reason: "The same: the session that the reference opens.",
	},
	{
		Where: []string{"websocket handshake: HTTP/1.0: after", "websocket handshake: version 8: after"}, Field: "sessions", Ours: "0", Theirs: "1",
		Reason: "The same.",
	},
	{
		Where: []string{"websocket handshake: Upgrade: h2c: handshake"},
		Field: "connection", Ours: "open", Theirs: "closed",
		Reason: "An upgrade to something else is none, and the request a request. The reference hands every one to its WebSocket " +
			"library.",
	},
	{
		Where: []string{"websocket: subprotocols: bad", "websocket: subprotocols: twice the same"},
		Field: "answer", Ours: "101", Theirs: "400, Invalid Sec-WebSocket-Protocol header, closed",
		Reason: "The library takes the first subprotocol, and does not look at the others.",
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
		Reason: "What is no packet ends the session. The reference skips what is no base64, and takes a binary frame for a packet of " +
			"any type, or for nothing.",
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
		Reason: "A length with the highest bit set is a violation of RFC 6455, 5.2: 1002. The reference says 1009, too large.",
	},
	{
		Where: []string{"websocket: frames behind the handshake: echo"}, Field: "frame", Ours: `01 "4x"`, Theirs: "silence",
		Reason: "The reference loses messages that come before its handler listens.",
	},
	{
		Where: []string{"*: without an upgrade"}, Field: "answer", Ours: "400*Bad request*", Theirs: "none: silence",
		Reason: "The reference never answers a request without an upgrade for a session on a WebSocket.",
	},
	{
		Where: []string{"websocket, revision *: another WebSocket: probe"}, Field: "frame", Ours: `close "", closed`, Theirs: `01 "3probe"`,
		Reason: "A session that is on a WebSocket has nothing to upgrade to.",
	},

	{
		Where: []string{"websocket, revision *: close frame 1001 with a reason: answer 1", "websocket, revision *: close frame 4999: answer 1"},
		Field: "frame", Ours: "close *", Theirs: "close *",
		Reason: "A close frame is answered with its code, and not with the peer's own words.",
	},

	{
		Where: []string{"heartbeat: silence on a websocket: end*"}, Field: "frame", Ours: "closed", Theirs: `close "", closed`,
		Reason: "Who fell silent gets no close frame: it would hold up the write.",
	},

	// permessage-deflate.
	{
		Where: []string{"permessage-deflate: offer: *: handshake"}, Field: "Sec-Websocket-Extensions",
		Ours: "permessage-deflate;server_no_context_takeover;client_no_context_takeover", Theirs: "permessage-deflate*",
		Reason: "Neither end keeps what it has compressed: that costs a session 32 KB at one end and a megabyte at the other.",
	},
	{
		Where: []string{"permessage-deflate: offer: permessage-deflate; server_max_window_bits=10: handshake"},
		Field: "Sec-Websocket-Extensions", Ours: "", Theirs: "permessage-deflate;server_max_window_bits=10",
		Reason: "compress/flate has one size of window. An offer that asks for another is declined.",
	},
	{
		Where: []string{"permessage-deflate: offer: *: open packet"}, Field: "frame", Ours: `01 "0{*`, Theirs: `compressed 01 "0{*`,
		Reason: "Short messages are not compressed. Where it keeps a context, the reference compresses all.",
	},
	{
		Where: []string{"permessage-deflate: offer: *unknown: handshake", "permessage-deflate: offer: *=99: handshake"},
		Field: "answer", Ours: "101", Theirs: "400, Invalid or unacceptable Sec-WebSocket-Extensions header, closed",
		Reason: "RFC 7692, 7: an offer that makes no sense is declined.",
	},
	{
		Where: []string{"permessage-deflate: offer: *unknown: handshake: open packet", "permessage-deflate: offer: *=99: handshake: open packet"},
		Field: "frame", Ours: `01 "0{*`, Theirs: "closed",
		Reason: "The same.",
	},

	// Cookies.
	{
		Where: []string{"cookie*: websocket"}, Field: "Set-Cookie", Ours: "*=SID; *", Theirs: "",
		Reason: "A session that starts with a WebSocket has a cookie too.",
	},

	// Closing.
	{
		Where: []string{"the server closes with messages to send: messages"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The close packet leaves with the last message. The reference sends it with the next poll.",
	},
	{
		Where: []string{"the server closes with messages to send: after"}, Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, 6\x1e1, open",
		Reason: "The same: the next poll.",
	},

	// JSONP.
	{
		Where: []string{"JSONP: *"}, Field: "Content-Type", Ours: "text/javascript; charset=UTF-8", Theirs: "text/plain; charset=UTF-8",
		Reason: "With nosniff no browser takes the answer for a page, whatever peers put into it, nor text/plain for a script.",
	},
	{
		Where: []string{"JSONP: *"}, Field: "X-Content-Type-Options", Ours: "nosniff", Theirs: "",
		Reason: "The same.",
	},
	{
		Where: []string{"JSONP: off: handshake"}, Field: "answer", Ours: "400*Transport unknown*", Theirs: "200, *",
		Reason: "JSONP is to be switched on: a script tag sends no Origin header.",
	},
	{
		Where: []string{"JSONP: a page of another origin: handshake"}, Field: "answer", Ours: "403*Forbidden*", Theirs: "200, *",
		Reason: "Pages of other origins are refused here too, as far as other headers tell.",
	},

	{
		Where: []string{"JSONP: echo*: poll for several", "JSONP: what would end a script: poll for tags"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "A string in a script may escape what means something in HTML.",
	},

	{
		Where: []string{"JSONP: a form: d=4%zz: then", "JSONP: a form: d=4%zz: poll"}, Field: "answer", Ours: "400*Session ID unknown*", Theirs: "200, *",
		Reason: "An escape that is none makes the form malformed. The reference takes it for text.",
	},
	{
		Where: []string{"JSONP: a form: d: then", "JSONP: a form: d: poll"}, Field: "answer", Ours: "200, *", Theirs: "400*Session ID unknown*",
		Reason: "A field without = holds no payload. The reference takes it for an empty one, which is malformed.",
	},
	{
		Where: []string{"JSONP: a form: %64=4x: poll"}, Field: "*", Ours: "*", Theirs: "*",
		Reason: "The name of the field is d as it stands; no client escapes it.",
	},

	// Upgrades.
	{
		Where: []string{"upgrade: not allowed: answer"}, Field: "frame", Ours: `close "", closed`, Theirs: `01 "3probe"`,
		Reason: "What is not allowed is refused. The reference does not offer it, and allows it.",
	},
	{
		Where: []string{"upgrade, revision *: a close packet is posted: frame"},
		Field: "frame", Ours: "closed", Theirs: `close "", closed`,
		Reason: "The WebSocket of an upgrade that comes to nothing from here ends with its connection: whatever is being written to it " +
			"is not waited for.",
	},
	{
		Where: []string{"upgrade: never finished: end"},
		Field: "frame", Ours: "silence", Theirs: `close "", closed`,
		Reason: "A stock client that has its 3probe has stopped polling, and would neither poll nor send any more if its WebSocket was closed: " +
			"it is waited for until its heartbeat fails.",
	},
}
