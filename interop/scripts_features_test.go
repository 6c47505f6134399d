package interop

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

// hooks returns options of eio-raw.js.
func hooks(name string, value any) map[string]any {
	return map[string]any{"hooks": map[string]any{name: value}}
}

// featureScripts are about features that are off by default.
func featureScripts() []script {
	hello := engineio.Text("hello")
	everyHandshake := func(c *caller) {
		c.open(4)
		c.open(3)
		c.socket("websocket", websocket4)
		c.ask("unknown sid", "GET", polling4+"&sid=none", "")
		c.ask("POST", "POST", polling4, "")
	}
	all := []script{
		{
			name: "refused by the program", node: hooks("refuse", "no <room> & \"quotes\""),
			ours:  engineio.ServerOptions{AllowRequest: func(*http.Request) error { return errors.New("no <room> & \"quotes\"") }},
			calls: everyHandshake,
		},
		{
			name: "refused by the program, without a word", node: hooks("refuse", ""),
			ours:  engineio.ServerOptions{AllowRequest: func(*http.Request) error { return errors.New("") }},
			calls: everyHandshake,
		},
		{
			name: "order: the program before revision", node: map[string]any{"allowEIO3": false, "hooks": map[string]any{"refuse": "no"}},
			ours: engineio.ServerOptions{
				Revisions:    []engineio.Revision{engineio.Revision4},
				AllowRequest: func(*http.Request) error { return errors.New("no") },
			},
			calls: func(c *caller) { c.ask("revision 3", "GET", polling3, "") },
		},
		{
			name: "no ID to be had", node: hooks("failId", true),
			ours:  engineio.ServerOptions{GenerateID: func(*http.Request) (string, error) { return "", errors.New("no ID") }},
			calls: func(c *caller) { c.open(4); c.open(3) },
		},
		{
			name: "an initial message", node: map[string]any{"initialPacket": "hello"},
			ours: engineio.ServerOptions{InitialMessage: &hello},
			calls: func(c *caller) {
				c.open(3)
				c.open(4)
				c.echo("echo")
				p := c.socket("websocket", websocket4)
				p.hear("open packet")
				p.hear("initial message")
			},
		},
	}
	all = append(all, cookieScripts()...)
	all = append(all, heartbeatScripts()...)
	all = append(all, closeScripts()...)
	all = append(all, compressionScripts()...)
	all = append(all, deflateScripts()...)
	return append(all, jsonpScripts()...)
}

func cookieScripts() []script {
	calls := func(c *caller) {
		c.open(4)
		c.post("post", "4x")
		c.poll("poll")
		c.socket("upgrade", c.upgradeQuery())
		c.ask("refused", "GET", "EIO=4", "")
		c.ask("another handshake, with the cookie", "GET", polling4, "", "Cookie", "io="+c.sid)
		p := c.socket("websocket", websocket4)
		p.hear("open packet")
	}
	return []script{
		{name: "cookie", node: map[string]any{"cookie": map[string]any{}}, ours: engineio.ServerOptions{Cookie: &http.Cookie{}}, calls: calls},
		{
			name: "cookie with attributes",
			node: map[string]any{"cookie": map[string]any{
				"name": "srv", "path": "/engine.io/", "domain": "example.com", "maxAge": 60, "secure": true, "sameSite": "strict",
			}},
			ours: engineio.ServerOptions{Cookie: &http.Cookie{
				Name: "srv", Path: "/engine.io/", Domain: "example.com", MaxAge: 60, Secure: true, SameSite: http.SameSiteStrictMode,
			}},
			calls: calls,
		},
	}
}

func heartbeatScripts() []script {
	var all []script
	add := func(name string, timeout int, calls func(c *caller)) {
		all = append(all, script{
			name: "heartbeat: " + name, node: map[string]any{"pingInterval": 100, "pingTimeout": timeout},
			ours:  engineio.ServerOptions{PingInterval: 100e6, PingTimeout: time.Duration(timeout) * time.Millisecond},
			calls: calls,
		})
	}
	add("polling", 20_000, func(c *caller) {
		c.open(4)
		for i := range 2 {
			c.poll(fmt.Sprint("ping ", i))
			c.post(fmt.Sprint("pong ", i), "3")
		}
	})
	add("websocket", 20_000, func(c *caller) {
		p := c.session(4)
		for i := range 2 {
			p.hear(fmt.Sprint("ping ", i))
			p.say("3")
		}
	})
	add("silence while polling", 100, func(c *caller) {
		for _, rev := range bothRevisions {
			c.open(rev)
			c.awaitState(fmt.Sprint("revision ", rev), controlState{})
			c.poll(fmt.Sprintf("revision %d: poll after", rev))
		}
	})
	add("a poll that waits is no answer", 100, func(c *caller) {
		c.open(4)
		c.poll("ping")
		c.poll("end")
		c.awaitState("after", controlState{})
	})
	add("silence on a websocket", 100, func(c *caller) {
		p := c.session(4)
		p.hear("ping")
		p.hear("end")
		p = c.session(3)
		p.hear("end, revision 3")
	})
	return all
}

func closeScripts() []script {
	return []script{
		{name: "the server closes between polls", calls: func(c *caller) {
			c.open(4)
			c.control("close")
			c.awaitState("closing", controlState{Sessions: 1})
			c.poll("poll")
			c.awaitState("closed", controlState{})
			c.poll("after")
		}},
		{name: "the server closes with messages to send", calls: func(c *caller) {
			c.open(4)
			c.control("send?text=one&count=2")
			c.control("close")
			c.poll("messages")
			c.poll("after")
		}},
		{name: "posts to a session that is closing", calls: func(c *caller) {
			c.open(4)
			c.control("close")
			c.post("post", "4x")
			c.poll("poll")
		}},
		{name: "messages before the close frame", calls: func(c *caller) {
			p := c.session(4)
			c.control("send?text=one&count=2")
			c.control("close")
			p.hear("first")
			p.hear("second")
			p.hear("close")
			c.awaitState("closed", controlState{})
		}},
	}
}

func compressionScripts() []script {
	long := strings.Repeat("0123456789", 300)
	var all []script
	add := func(name string, node map[string]any, ours engineio.ServerOptions, calls func(c *caller)) {
		all = append(all, script{name: "compression: " + name, node: node, ours: ours, calls: calls})
	}
	add("encodings that the client accepts", nil, engineio.ServerOptions{}, func(c *caller) {
		c.open(4)
		for _, accept := range []string{
			"gzip", "deflate", "gzip, deflate, br", "deflate, gzip", "br", "identity", "*", "*;q=0", "gzip;q=0", "gzip;q=0, *",
			"gzip;q=0.5, deflate;q=0.9", "gzip;q=0.5, deflate;q=0.5", "identity, gzip;q=0.5", "gzip;q=0.5, identity;q=0.9", "GZIP", "x-gzip",
			"gzip;q=nonsense", "deflate;q=0.1, *;q=0.5", " gzip ; q=1.0 ", "", ",,",
		} {
			c.control("send?text=" + long)
			c.poll("Accept-Encoding: "+accept, "Accept-Encoding", accept)
		}
		c.control("send?text=" + long)
		c.poll("no Accept-Encoding")
	})
	add("the size", nil, engineio.ServerOptions{}, func(c *caller) {
		c.open(4)
		for _, n := range []int{1, 1022, 1023, 1024} {
			c.control("send?text=" + long[:n])
			c.poll(fmt.Sprint(n, " and the type"), "Accept-Encoding", "gzip")
		}
		c.control("send?count=3&text=" + long[:400])
		c.poll("together", "Accept-Encoding", "gzip")
		c.control("send?text=" + strings.Repeat("%C3%A9", 600))
		c.poll("bytes, not characters", "Accept-Encoding", "gzip")
	})
	add("by message", nil, engineio.ServerOptions{}, func(c *caller) {
		c.open(4)
		c.control("send?plain&text=" + long)
		c.poll("none", "Accept-Encoding", "gzip")
		c.control("send?plain&text=" + long)
		c.control("send?text=x")
		c.poll("one of two", "Accept-Encoding", "gzip")
	})
	add("a small threshold", map[string]any{"httpCompression": map[string]any{"threshold": 5}}, engineio.ServerOptions{CompressionThreshold: 5}, func(c *caller) {
		c.open(4)
		c.control("send?text=123")
		c.poll("below", "Accept-Encoding", "gzip")
		c.control("send?text=1234")
		c.poll("at it", "Accept-Encoding", "gzip")
		c.ask("handshake", "GET", polling4, "", "Accept-Encoding", "gzip")
		c.ask("refused", "GET", "EIO=4", "", "Accept-Encoding", "gzip")
	})
	add("off", map[string]any{"httpCompression": false}, engineio.ServerOptions{NoHTTPCompression: true}, func(c *caller) {
		c.open(4)
		c.control("send?text=" + long)
		c.poll("poll", "Accept-Encoding", "gzip")
	})
	add("revision 3", nil, engineio.ServerOptions{}, func(c *caller) {
		c.open(3)
		c.control("send?text=" + long)
		c.poll("poll", "Accept-Encoding", "deflate")
	})
	add("a poll that waits", nil, engineio.ServerOptions{}, func(c *caller) {
		c.open(4)
		p := c.begin(c.request("GET", c.query, "", "Accept-Encoding", "gzip"))
		c.awaitState("waiting", controlState{Sessions: 1, Polls: 1})
		c.control("send?text=" + long)
		p.answer("poll")
	})
	return all
}

// deflateScripts are about permessage-deflate. Compressed frames are not compared byte by byte: compressors differ.
func deflateScripts() []script {
	long := strings.Repeat("0123456789", 300)
	compressed := func(s string) string {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.DefaultCompression)
		must(err)
		_, err = w.Write([]byte(s))
		must(err)
		must(w.Flush())
		return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
	}
	var all []script
	add := func(name string, calls func(c *caller)) {
		all = append(all, script{
			name: "permessage-deflate: " + name, node: map[string]any{"perMessageDeflate": true},
			ours: engineio.ServerOptions{PerMessageDeflate: true}, calls: calls,
		})
	}
	offer := func(c *caller, step, extensions string) *pending {
		p := c.socket(step, websocket4, "Sec-WebSocket-Extensions", extensions)
		p.hear(step + ": open packet")
		return p
	}
	for _, extensions := range []string{
		"permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; client_no_context_takeover",
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover", "permessage-deflate; server_max_window_bits=10",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate; client_max_window_bits=8",
		"x-webkit-deflate-frame", "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=99",
	} {
		add("offer: "+extensions, func(c *caller) { offer(c, "handshake", extensions) })
	}
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	add("short messages are not compressed", func(c *caller) {
		p := offer(c, "handshake", agreed)
		p.say("4hello")
		p.hear("echo")
	})
	add("compressed messages are read", func(c *caller) {
		p := offer(c, "handshake", agreed)
		p.more(frame(0xc1, compressed("4hello")))
		p.hear("echo")
		p.more(frame(0x41, compressed("4hello")[:3]) + frame(0x80, compressed("4hello")[3:]))
		p.hear("echo of fragments")
	})
	add("data that is not compressed", func(c *caller) {
		p := offer(c, "handshake", agreed)
		p.more(frame(0xc1, "\xff\xff\xff\xff"))
		p.hear("end")
		c.awaitState("after", controlState{})
	})
	add("a bomb", func(c *caller) {
		p := offer(c, "handshake", agreed)
		p.more(frame(0xc1, compressed("4"+strings.Repeat("x", 2_000_000))))
		p.hear("end")
		c.awaitState("after", controlState{})
	})
	add("not agreed on", func(c *caller) {
		p := c.session(4)
		c.control("send?text=" + long)
		p.hear("message")
		p.more(frame(0xc1, compressed("4hello")))
		p.hear("end")
	})
	return all
}

func jsonpScripts() []script {
	var all []script
	own := []string{"Sec-Fetch-Site", "same-origin"}
	add := func(name string, extra string, rev engineio.Revision, calls func(c *caller)) {
		all = append(all, script{name: "JSONP: " + name, ours: engineio.ServerOptions{JSONP: true}, calls: func(c *caller) {
			c.rev = rev
			c.query = fmt.Sprintf("EIO=%d&transport=polling&%s", rev, extra)
			c.ask("open", "GET", c.query, "", own...)
			c.query += "&sid=" + c.sid
			calls(c)
		}})
	}
	poll := func(c *caller, step string) { c.poll(step, own...) }
	form := func(c *caller, step, d string) {
		c.ask(step, "POST", c.query, "d="+url.QueryEscape(d), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, own...)...)
	}
	for _, rev := range bothRevisions {
		add(fmt.Sprint("echo, revision ", rev), "j=0&b64=1", rev, func(c *caller) {
			form(c, "post", c.framed("4hello"))
			poll(c, "poll")
			form(c, "several", c.framed("4one", "4two & three+%41"))
			poll(c, "poll for several")
		})
		add(fmt.Sprint("close packet, revision ", rev), "j=7", rev, func(c *caller) {
			form(c, "post", c.framed("1"))
			c.awaitState("closed", controlState{})
			poll(c, "after")
		})
	}
	for name, j := range map[string]string{
		"digits only": "a1b2", "nothing": "", "no digits": "alert(1)//", "injection": "0](alert(1));//", "many digits": "12345678901234567890",
	} {
		add("the number: "+name, "j="+url.QueryEscape(j), 4, func(c *caller) {
			form(c, "post", "4x")
			poll(c, "poll")
		})
	}
	add("the number of the handshake counts", "j=1", 4, func(c *caller) {
		form(c, "post", "4x")
		c.query += "&j=2"
		poll(c, "poll")
	})
	add("newlines", "j=0", 4, func(c *caller) {
		for i, d := range []string{`4a\nb`, `4a\\nb`, "4a\nb", `4a\\\nb`, `4\n`, "4a\r\nb"} {
			form(c, fmt.Sprint("post ", i), d)
			poll(c, fmt.Sprint("poll ", i))
		}
	})
	add("text that could end a script", "j=0", 4, func(c *caller) {
		for i, d := range []string{"4\u2028\u2029", `4"\"'`, "4\x00\x08\x7f", "4é€😀", "4\ufeff"} {
			form(c, fmt.Sprint("post ", i), d)
			poll(c, fmt.Sprint("poll ", i))
		}
		form(c, "tags", "4</script><!--&")
		poll(c, "poll for tags")
	})
	for body, isMessage := range map[string]bool{
		"x=1": false, "d": false, "d=": false, "d=4one&d=4two": false, "x=1&d=4x&y=2": true, "%64=4x": false, "d=4%zz": false,
		"d=4a+b%2Bc": true, "d=4x;e=1": true,
	} {
		add("a form: "+body, "j=0", 4, func(c *caller) {
			c.ask("post", "POST", c.query, body, own...)
			if isMessage {
				poll(c, "poll for the message")
			}
			form(c, "then", "4alive")
			poll(c, "poll")
		})
	}
	add("errors", "j=0", 4, func(c *caller) {
		c.ask("unknown sid", "GET", polling4+"&j=0&sid=none", "", own...)
		c.ask("another revision", "GET", strings.Replace(c.query, "EIO=4", "EIO=3", 1), "", own...)
		form(c, "malformed", "abc")
		c.awaitState("after", controlState{})
	})
	add("binary", "j=0", 4, func(c *caller) {
		form(c, "post", "bAQIDBA==")
		poll(c, "poll")
	})
	add("binary, revision 3", "j=0&b64=1", 3, func(c *caller) {
		form(c, "post", "10:b4AQIDBA==")
		poll(c, "poll")
	})
	add("compression", "j=0", 4, func(c *caller) {
		c.control("send?text=" + strings.Repeat("x", 2000))
		c.poll("poll", append([]string{"Accept-Encoding", "gzip"}, own...)...)
	})
	add("a post without a form", "j=0", 4, func(c *caller) {
		c.ask("post", "POST", c.query, "4x", append([]string{"Content-Type", "text/plain"}, own...)...)
		c.awaitState("after", controlState{Sessions: 1})
	})
	return append(all,
		script{name: "JSONP: not asked for in the handshake", ours: engineio.ServerOptions{JSONP: true}, calls: func(c *caller) {
			c.open(4)
			c.query += "&j=0"
			c.post("post", "4x", own...)
			c.poll("poll", own...)
		}},
		script{name: "JSONP: a page of another origin", ours: engineio.ServerOptions{JSONP: true}, calls: func(c *caller) {
			c.ask("handshake", "GET", polling4+"&j=0", "", "Referer", page+"/", "Sec-Fetch-Site", "cross-site")
		}},
		script{name: "JSONP: off", calls: func(c *caller) {
			c.ask("handshake", "GET", polling4+"&j=0", "", own...)
		}},
	)
}
