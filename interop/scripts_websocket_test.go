package interop

import (
	"fmt"
	"strings"
)

// websocketScripts are about sessions that start with a WebSocket.
func websocketScripts() []script {
	var all []script
	for _, rev := range bothRevisions {
		add := func(name string, calls func(c *caller, p *pending)) *script {
			all = append(all, script{
				name: fmt.Sprintf("websocket, revision %d: %s", rev, name), node: nodeLimited, ours: limited,
				calls: func(c *caller) { calls(c, c.session(rev)) },
			})
			return &all[len(all)-1]
		}
		for _, f := range frames {
			if f.rev != 0 && f.rev != int(rev) {
				continue
			}
			add(f.name, func(c *caller, p *pending) {
				p.more(f.raw)
				if f.survives {
					p.say("4after")
				}
				for i := range max(f.answers, 1) {
					p.hear(fmt.Sprint("answer ", i+1))
				}
				if !f.survives {
					c.awaitState("after", controlState{})
				}
			}).silent = f.silent
		}
		add("echo", func(_ *caller, p *pending) {
			p.say("4hello")
			p.hear("echo")
			p.say("4é€😀")
			p.hear("unicode")
			p.say("4")
			p.hear("nothing")
		})
		add("the server closes", func(c *caller, p *pending) {
			c.control("close")
			p.hear("close")
			c.awaitState("after", controlState{})
		})
		add("the connection breaks", func(c *caller, p *pending) {
			_ = p.conn.Close()
			c.awaitState("after", controlState{})
		})
		add("requests by polling", func(c *caller, p *pending) {
			c.poll("poll")
			c.post("post", "4x")
			c.ask("without an upgrade", "GET", c.upgradeQuery(), "")
			p.say("4after")
			p.hear("after")
		}).silent = true
		add("another WebSocket", func(c *caller, p *pending) {
			other := c.socket("second", c.upgradeQuery())
			other.say("2probe")
			other.hear("probe")
			_ = other.conn.Close()
			p.say("4after")
			p.hear("after")
		})
	}
	all = append(all,
		script{name: "websocket: base64, revision 3", calls: func(c *caller) {
			p := c.session(3, "b64=1")
			p.say("b4AQIDBA==")
			p.hear("echo")
		}},
		script{name: "websocket: base64, revision 4", calls: func(c *caller) {
			p := c.session(4, "b64=1")
			p.say("bAQIDBA==")
			p.hear("echo")
		}},
		script{name: "websocket: subprotocols", calls: func(c *caller) {
			c.socket("two", websocket4, "Sec-WebSocket-Protocol", "chat, superchat")
			c.socket("one", websocket4, "Sec-WebSocket-Protocol", "chat")
			c.socket("none", websocket4, "Sec-WebSocket-Protocol", "")
			c.socket("bad", websocket4, "Sec-WebSocket-Protocol", "a b")
			c.socket("twice the same", websocket4, "Sec-WebSocket-Protocol", "chat, chat")
		}},
		script{name: "websocket: compression is not agreed on", calls: func(c *caller) {
			c.socket("offered", websocket4, "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
			c.socket("unknown", websocket4, "Sec-WebSocket-Extensions", "x-tobi; a=b")
			c.socket("malformed", websocket4, "Sec-WebSocket-Extensions", "; ;=")
		}},
		script{name: "websocket: frames behind the handshake", silent: true, calls: func(c *caller) {
			p := c.begin(c.handshake(websocket4) + frame(textFrame, "4x"))
			p.answer("handshake")
			p.hear("open packet")
			p.hear("echo")
		}},
		script{name: "websocket: polling with the headers of an upgrade", calls: func(c *caller) {
			p := c.socket("handshake", polling4)
			p.hear("frame")
			c.open(4)
			p = c.socket("with a sid", c.query)
			p.hear("frame of it")
			c.echo("after")
		}},
	)
	good := func(c *caller) string { return c.handshake(websocket4) }
	for name, change := range map[string][2]string{
		"no key":               {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""},
		"short key":            {"dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="},
		"version 8":            {"Version: 13", "Version: 8"},
		"version 12":           {"Version: 13", "Version: 12"},
		"no version":           {"Sec-WebSocket-Version: 13\r\n", ""},
		"no Connection":        {"Connection: Upgrade\r\n", ""},
		"Connection with more": {"Connection: Upgrade", "Connection: keep-alive, upgrade"},
		"HTTP/1.0":             {"HTTP/1.1", "HTTP/1.0"},
		"POST":                 {"GET ", "POST "},
		"Upgrade: WebSocket":   {"Upgrade: websocket", "Upgrade: WebSocket"},
		"Upgrade: h2c":         {"Upgrade: websocket", "Upgrade: h2c"},
		"Upgrade of two":       {"Upgrade: websocket", "Upgrade: h2c, websocket"},
	} {
		all = append(all, script{name: "websocket handshake: " + name, calls: func(c *caller) {
			p := c.begin(strings.Replace(good(c), change[0], change[1], 1))
			if resp := p.answer("handshake"); resp != nil && resp.StatusCode == 101 {
				p.hear("open packet")
			}
			c.awaitState("after", controlState{})
		}})
	}
	return all
}

// frames are the frames of a client on a WebSocket whose session accepts payloads of at most 100 bytes.
var frames = []struct {
	name, raw string
	rev       int  // 0: both
	survives  bool // a message is sent after it
	answers   int  // number of responses; 0: one
	silent    bool
}{
	{name: "unmasked", raw: "\x81\x024x"},
	{name: "RSV1", raw: frame(0xc1, "4x")},
	{name: "RSV2", raw: frame(0xa1, "4x")},
	{name: "RSV3", raw: frame(0x91, "4x")},
	{name: "opcode 3", raw: frame(0x83, "4x")},
	{name: "opcode 11", raw: frame(0x8b, "4x")},
	{name: "a ping in fragments", raw: frame(0x09, "x")},
	{name: "a long ping", raw: frame(pingFrame, strings.Repeat("x", 126))},
	{name: "length 2^63", raw: "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"},
	{name: "length 2^32", raw: "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00\x01\x02\x03\x04"},
	{name: "just fits", raw: frame(textFrame, "4"+strings.Repeat("x", 99)), survives: true, answers: 2},
	{name: "oversize", raw: frame(textFrame, "4"+strings.Repeat("x", 100))},
	{name: "oversize in fragments", raw: frame(0x01, "4"+strings.Repeat("x", 99)) + frame(0x80, "x")},
	{name: "binary oversize", raw: frame(binaryFrame, strings.Repeat("x", 101))},
	{name: "invalid UTF-8", raw: frame(textFrame, "4\xff")},
	{name: "half a character", raw: frame(textFrame, "4\xe2\x82")},
	{name: "empty text", raw: frame(textFrame, "")},
	{name: "garbage", raw: frame(textFrame, "abc")},
	{name: "unknown type", raw: frame(textFrame, "7x")},
	{name: "bad base64", raw: frame(textFrame, "b!!!!"), survives: true},
	{name: "binary", raw: frame(binaryFrame, "\x04\x01\x02\x03"), survives: true, answers: 2},
	{name: "empty binary", raw: frame(binaryFrame, ""), survives: true, rev: 4, answers: 2},
	{name: "empty binary", raw: frame(binaryFrame, ""), rev: 3, silent: true},
	{name: "binary that is no message", raw: frame(binaryFrame, "\x02probe"), rev: 3},
	{name: "binary of an unknown type", raw: frame(binaryFrame, "\x09x"), rev: 3, silent: true},
	{name: "a continuation of nothing", raw: frame(0x80, "4x")},
	{name: "a message within a message", raw: frame(0x01, "4x") + frame(0x81, "4y")},
	{name: "fragments", raw: frame(0x01, "4h") + frame(0x00, "el") + frame(0x80, "lo"), survives: true, answers: 2},
	{name: "ping frame", raw: frame(pingFrame, "hi"), survives: true, answers: 2},
	{name: "pong frame", raw: frame(0x8a, "hi"), survives: true},
	{name: "ping packet", raw: frame(textFrame, "2"), rev: 4},
	{name: "ping packet", raw: frame(textFrame, "2"), rev: 3, survives: true, answers: 2},
	{name: "probe", raw: frame(textFrame, "2probe"), rev: 3, survives: true, answers: 2},
	{name: "pong packet", raw: frame(textFrame, "3"), rev: 3},
	{name: "pong packet without a ping", raw: frame(textFrame, "3"), rev: 4, survives: true},
	{name: "open packet", raw: frame(textFrame, "0{}"), survives: true},
	{name: "upgrade packet", raw: frame(textFrame, "5"), survives: true},
	{name: "noop packet", raw: frame(textFrame, "6"), survives: true},
	{name: "close packet", raw: frame(textFrame, "1"), survives: true},
	{name: "close frame", raw: frame(closeFrame, "")},
	{name: "close frame 1000", raw: frame(closeFrame, "\x03\xe8")},
	{name: "close frame 1001 with a reason", raw: frame(closeFrame, "\x03\xe9gone")},
	{name: "close frame 4999", raw: frame(closeFrame, "\x13\x87why")},
	{name: "close frame of one byte", raw: frame(closeFrame, "\x03")},
	{name: "close frame 1005", raw: frame(closeFrame, "\x03\xed")},
	{name: "close frame with a broken reason", raw: frame(closeFrame, "\x03\xe8\xff")},
	{name: "a message behind a close frame", raw: frame(closeFrame, "\x03\xe8") + frame(textFrame, "4x")},
}
