package interop

import (
	"fmt"
	"strings"

	"github.com/bigcompany/mesh/engineio"
)

var bothRevisions = []engineio.Revision{engineio.Revision3, engineio.Revision4}

// limited accepts payloads of at most 100 bytes.
var (
	limited     = engineio.ServerOptions{MaxPayload: 100}
	nodeLimited = map[string]any{"maxHttpBufferSize": 100}
)

// pollingScripts are about sessions that poll.
func pollingScripts() []script {
	var all []script
	for _, rev := range bothRevisions {
		add := func(name string, calls func(c *caller)) {
			all = append(all, script{name: fmt.Sprintf("polling, revision %d: %s", rev, name), calls: func(c *caller) {
				c.open(rev)
				calls(c)
			}})
		}
		add("echo", func(c *caller) {
			c.post("post", c.framed("4hello", "4", "4world"))
			c.poll("poll")
		})
		add("a poll that waits", func(c *caller) {
			p := c.hold()
			c.control("send?text=hello")
			p.answer("poll")
			c.echo("after")
		})
		add("messages between polls", func(c *caller) {
			c.control("send?text=one")
			c.control("send?text=two&count=2")
			c.poll("poll")
		})
		add("large messages", func(c *caller) {
			c.post("post", c.framed("4"+strings.Repeat("x", 100_000)))
			c.poll("poll")
		})
		add("a thousand packets", func(c *caller) {
			packets := make([]string, 1000)
			for i := range packets {
				packets[i] = fmt.Sprint("4", i)
			}
			c.post("post", c.framed(packets...))
			c.awaitState("posted", controlState{Sessions: 1})
		})
		add("overlapping polls", func(c *caller) {
			p := c.hold()
			c.poll("second")
			p.answer("first")
			c.poll("after")
		})
		add("overlapping posts", func(c *caller) {
			p := c.begin(strings.TrimSuffix(c.request("POST", c.query, "4hello", "Expect", "100-continue"), "4hello"))
			p.answer("first, to be continued") // so the server has the request
			c.post("second", c.framed("4x"))
			p.more("4hello")
			p.answer("first")
			c.poll("after")
		})
		add("a post while a poll waits", func(c *caller) {
			p := c.hold()
			c.post("post", c.framed("4x"))
			p.answer("poll")
		})
		add("a poll that is given up", func(c *caller) {
			p := c.hold()
			_ = p.conn.Close()
			c.awaitState("given up", controlState{})
			c.poll("after")
		})
		add("a post that is given up", func(c *caller) {
			p := c.begin("POST /engine.io/?" + c.query + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n4")
			p.answer("to be continued")
			_ = p.conn.Close()
			c.awaitState("given up", controlState{})
			c.poll("after")
		})
		for _, method := range []string{"PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"} {
			add(method, func(c *caller) {
				c.ask("request", method, c.query, "")
				c.echo("after")
			})
		}
		for name, change := range map[string][2]string{
			"another revision":  {fmt.Sprint("EIO=", rev), fmt.Sprint("EIO=", 7-rev)},
			"no revision":       {fmt.Sprint("EIO=", rev), ""},
			"another transport": {"polling", "websocket"},
			"no transport":      {"transport=polling", ""},
			"sid twice":         {"&sid=", "&sid=none&sid="},
			"sid in capitals":   {"&sid=", "&SID="},
		} {
			add(name, func(c *caller) {
				other := strings.Replace(c.query, change[0], change[1], 1)
				c.post("before", c.framed("4x"))
				c.ask("poll", "GET", other, "")
				c.ask("post", "POST", other, c.framed("4y"))
			})
		}
		for _, kind := range []string{"", "application/json", "application/x-www-form-urlencoded", "application/octet-stream; charset=UTF-8", "text/html"} {
			add("content type "+kind, func(c *caller) {
				header := []string{"Content-Type", kind}
				if kind == "" {
					header = nil
				}
				c.ask("post", "POST", c.query, c.framed("4x"), header...)
				c.poll("poll")
			})
		}
		add("chunks", func(c *caller) {
			body := c.framed("4hello", "4world")
			c.send("post", fmt.Sprintf("POST /engine.io/?%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
				c.query, 3, body[:3], len(body)-3, body[3:]))
			c.poll("poll")
		})
		add("Expect: 100-continue", func(c *caller) {
			body := c.framed("4hello")
			p := c.begin(strings.TrimSuffix(c.request("POST", c.query, body, "Expect", "100-continue"), body))
			p.answer("continue")
			p.more(body)
			p.answer("post")
			c.poll("poll")
		})
		add("close packet", func(c *caller) {
			c.post("post", c.framed("1"))
			c.awaitState("closed", controlState{})
			c.poll("after")
			c.post("post after", c.framed("4x"))
		})
		add("close packet while a poll waits", func(c *caller) {
			p := c.hold()
			c.post("post", c.framed("1"))
			p.answer("poll")
			c.awaitState("closed", controlState{})
		})
		add("close packet between messages", func(c *caller) {
			c.post("post", c.framed("4x", "1", "4y"))
			c.awaitState("closed", controlState{})
			c.poll("after")
		})
		add("the server closes while a poll waits", func(c *caller) {
			p := c.hold()
			c.control("close")
			p.answer("poll")
			c.awaitState("closed", controlState{})
			c.poll("after")
		})
		for packet, name := range map[string]string{"0": "open", "0{}": "open with JSON", "5": "upgrade", "6": "noop", "6x": "noop with text"} {
			add("ignored: "+name, func(c *caller) {
				c.post("post", c.framed(packet, "4x"))
				c.poll("poll")
			})
		}
		add("no content", func(c *caller) {
			c.post("post", "", "Content-Length", "0")
			c.awaitState("after", controlState{})
			c.poll("poll")
		})
		add("a page that was left", func(c *caller) {
			c.ask("post", "POST", c.query+"&t=abc", c.framed("4x"), "Cookie", "io=x")
			c.ask("poll", "GET", c.query+"&t=abd", "", "Cookie", "io=x")
		})
	}
	return append(all, payloadScripts()...)
}

// payloadScripts are about single POSTs.
func payloadScripts() []script {
	var all []script
	type post struct {
		name, body string
		header     []string
		survives   bool
		silent     bool
		extra      string // in the query
	}
	add := func(rev engineio.Revision, p post) {
		all = append(all, script{name: fmt.Sprintf("payload, revision %d: %s", rev, p.name), silent: p.silent, calls: func(c *caller) {
			c.open(rev, strings.Fields(p.extra)...)
			c.post("post", p.body, p.header...)
			if !p.survives {
				c.awaitState("after", controlState{})
			}
			c.poll("poll")
		}})
	}
	for _, p := range []post{
		{name: "garbage", body: "abc"},
		{name: "unknown type", body: "7x"},
		{name: "a separator alone", body: "\x1e"},
		{name: "a separator at the end", body: "4x\x1e"},
		{name: "a separator at the start", body: "\x1e4x"},
		{name: "garbage after a message", body: "4x\x1eabc"},
		{name: "garbage before a message", body: "abc\x1e4x"},
		{name: "a ping", body: "2"},
		{name: "a probe", body: "2probe"},
		{name: "a pong without a ping", body: "3\x1e4x", survives: true},
		{name: "binary", body: "bAQIDBA==\x1e4x", survives: true},
		{name: "binary without padding", body: "bAQIDBA\x1e4x", survives: true},
		{name: "empty binary", body: "b\x1e4x", survives: true},
		{name: "binary as in revision 3", body: "b4AQIDBA==", survives: true},
		{name: "bad base64", body: "b!!!!\x1e4x", survives: true},
		{name: "unicode", body: "4é€😀", survives: true},
		{name: "a message of NUL", body: "4\x00", survives: true},
		{name: "invalid UTF-8", body: "4\xff", survives: true},
		{name: "a body of revision 3", body: "8:4message"},
		{name: "a binary body", body: "4hello", header: []string{"Content-Type", "application/octet-stream"}},
		{name: "b64", body: "bAQIDBA==", extra: "b64=1", survives: true},
	} {
		if p.header != nil { // in place of the usual type
			all = append(all, script{name: "payload, revision 4: " + p.name, calls: func(c *caller) {
				c.open(4)
				c.ask("post", "POST", c.query, p.body, p.header...)
				c.awaitState("after", controlState{})
				c.poll("poll")
			}})
			continue
		}
		add(engineio.Revision4, p)
	}
	for _, p := range []post{
		{name: "garbage", body: "abc"},
		{name: "no length", body: ":4x"},
		{name: "length 0", body: "0:", silent: true},
		{name: "a negative length", body: "-1:4x"},
		{name: "a length with a sign", body: "+2:4x"},
		{name: "a length with a zero ahead", body: "02:4x", survives: true},
		{name: "a length beyond the end", body: "100:4x"},
		{name: "a length of many digits", body: "99999999999999999999:4x"},
		{name: "a length without a packet", body: "5"},
		{name: "garbage after a packet", body: "2:4xabc"},
		{name: "half a second packet", body: "2:4x5:4y"},
		{name: "unknown type", body: "2:7x"},
		{name: "a ping", body: "1:2", survives: true},
		{name: "a probe", body: "6:2probe", survives: true},
		{name: "a pong", body: "1:3"},
		{name: "unicode", body: "5:4é€😀", survives: true, extra: "b64=1"},
		{name: "unicode to a client that reads binary", body: "5:4é€😀", survives: true},
		{name: "binary as base64", body: "10:b4AQIDBA==", survives: true, extra: "b64=1"},
		{name: "binary as base64, to a client that reads binary", body: "10:b4AQIDBA==2:4x", survives: true},
		{name: "bad base64", body: "6:b4!!!!", extra: "b64=1"},
		{name: "a body of revision 4", body: "4hello"},
	} {
		add(engineio.Revision3, p)
	}
	for name, body := range map[string]string{
		"binary":             "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04",
		"a length unended":   "\x00\x06",
		"a length too large": "\x00\x09\x09\xff4x",
		"no digits":          "\x00\xff4x",
		"empty":              "",
		"text form":          "2:4x",
	} {
		all = append(all, script{name: "payload, revision 3, binary form: " + name, silent: body == "", calls: func(c *caller) {
			c.open(3)
			header := []string{"Content-Type", "application/octet-stream"}
			if body == "" {
				header = append(header, "Content-Length", "0")
			}
			c.ask("post", "POST", c.query, body, header...)
			c.poll("poll")
		}})
	}
	return append(all, limitScripts()...)
}

func limitScripts() []script {
	var all []script
	add := func(name string, calls func(c *caller)) {
		all = append(all, script{name: "limit: " + name, node: nodeLimited, ours: limited, calls: func(c *caller) {
			c.open(4)
			calls(c)
			c.echo("after")
		}})
	}
	add("a post that just fits", func(c *caller) {
		c.post("post", "4"+strings.Repeat("x", 99))
		c.poll("poll")
	})
	add("one byte too many", func(c *caller) { c.post("post", "4"+strings.Repeat("x", 100)) })
	add("bytes count, not characters", func(c *caller) { c.post("post", "4"+strings.Repeat("é", 50)) })
	add("chunks that just fit", func(c *caller) {
		c.send("post", "POST /engine.io/?"+c.query+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n4"+strings.Repeat("x", 99)+"\r\n0\r\n\r\n")
		c.poll("poll")
	})
	add("chunks, one byte too many", func(c *caller) {
		c.send("post", "POST /engine.io/?"+c.query+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n4"+strings.Repeat("x", 100)+"\r\n0\r\n\r\n")
	})
	add("far too much", func(c *caller) { c.post("post", strings.Repeat("x", 100_000)) })
	return all
}
