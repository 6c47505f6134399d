package interop

import (
	"strings"

	"github.com/bigcompany/mesh/engineio"
)

const (
	polling4   = "EIO=4&transport=polling"
	polling3   = "EIO=3&transport=polling"
	websocket4 = "EIO=4&transport=websocket"
	websocket3 = "EIO=3&transport=websocket"
	page       = "http://page.example"
)

var (
	only4      = engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision4}}
	nodeOnly4  = map[string]any{"allowEIO3": false}
	admitting  = engineio.ServerOptions{AllowedOrigins: []string{page}}
	nodeAdmits = map[string]any{"cors": map[string]any{"origin": []string{page}, "credentials": true}}
)

// handshakeScripts are about requests that open a session, or are rejected.
func handshakeScripts() []script {
	all := []script{
		{name: "handshake, revision 3", calls: func(c *caller) { c.open(3) }},
		{name: "handshake, revision 4", calls: func(c *caller) { c.open(4) }},
		{
			name: "handshake with options",
			node: map[string]any{"pingInterval": 300_000, "pingTimeout": 200_000, "maxHttpBufferSize": 77, "transports": []string{"polling"}},
			ours: engineio.ServerOptions{
				PingInterval: 300e9, PingTimeout: 200e9, MaxPayload: 77, Transports: []engineio.Transport{engineio.Polling},
			},
			calls: func(c *caller) { c.open(4) },
		},
		{
			name: "handshake without upgrades", node: map[string]any{"allowUpgrades": false},
			ours:  engineio.ServerOptions{NoUpgrade: true},
			calls: func(c *caller) { c.open(4); c.open(3); c.session(4) },
		},
		{
			name: "session IDs from a hook", node: map[string]any{"hooks": map[string]any{"ownIds": true}},
			calls: func(c *caller) { c.open(4); c.echo("echo") },
		},
		{name: "an old browser", calls: func(c *caller) {
			c.open(4)
			for _, agent := range []string{"Mozilla/4.0 (compatible;MSIE 8.0)", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0)"} {
				c.post("post by "+agent, "4x", "User-Agent", agent)
				c.poll("poll by "+agent, "User-Agent", agent)
			}
		}},
		{name: "paths", calls: func(c *caller) {
			for _, path := range []string{"/engine.io/", "/engine.io/foo", "/engine.io//", "/engine.io/?/engine.io/"} {
				c.send(path, strings.Replace(c.request("GET", polling4, ""), "/engine.io/", path, 1))
			}
		}},
		{name: "HTTP/1.0", calls: func(c *caller) {
			c.send("handshake", strings.Replace(c.request("GET", polling4, ""), "HTTP/1.1", "HTTP/1.0", 1))
			c.send("refused", strings.Replace(c.request("GET", "EIO=4", ""), "HTTP/1.1", "HTTP/1.0", 1))
		}},
		{name: "Connection: close", calls: func(c *caller) {
			c.ask("handshake", "GET", polling4, "", "Connection", "close")
			c.query = polling4 + "&sid=" + c.sid
			c.post("post", "4x", "Connection", "close")
			c.poll("poll", "Connection", "close")
			c.ask("refused", "GET", "EIO=4", "", "Connection", "close")
			c.post("too large", strings.Repeat("x", 1_000_001), "Connection", "close")
		}},
		{name: "no Host", calls: func(c *caller) {
			c.send("handshake", "GET /engine.io/?"+polling4+" HTTP/1.1\r\n\r\n")
		}},
		{name: "two requests in a row", calls: func(c *caller) {
			p := c.begin(c.request("GET", polling4, "") + c.request("GET", "EIO=4", ""))
			p.answer("first")
		}},
		{name: "a handshake with a body", calls: func(c *caller) {
			c.ask("handshake", "GET", polling4, "4hello")
		}},
		{name: "pages of other origins", calls: func(c *caller) {
			c.ask("polling", "GET", polling4, "", "Origin", page)
			c.socket("websocket", websocket4, "Origin", page)
			c.ask("preflight", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "POST")
		}},
		{name: "pages of the same origin", calls: func(c *caller) {
			c.ask("polling", "GET", polling4, "", "Origin", "http://"+c.addr)
			c.socket("websocket", websocket4, "Origin", "http://"+c.addr)
		}},
		{name: "CORS", node: nodeAdmits, ours: admitting, calls: func(c *caller) {
			c.open(4)
			c.ask("handshake", "GET", polling4, "", "Origin", page)
			c.query = polling4 + "&sid=" + c.sid
			c.post("post", "4x", "Origin", page)
			c.poll("poll", "Origin", page)
			c.ask("refused", "GET", "EIO=4", "", "Origin", page)
			c.ask("another origin", "GET", polling4, "", "Origin", "http://evil.example")
			c.ask("another origin, refused anyway", "GET", "EIO=4", "", "Origin", "http://evil.example")
			c.socket("websocket", websocket4, "Origin", page)
			c.socket("websocket, refused", "EIO=4", "Origin", page)
		}},
		{name: "CORS preflight", node: nodeAdmits, ours: admitting, calls: func(c *caller) {
			c.ask("POST", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "content-type")
			c.ask("GET", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "GET",
				"Access-Control-Request-Headers", "x-one,x-two")
			c.ask("no headers", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "POST")
			c.ask("DELETE", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "DELETE")
			c.ask("another origin", "OPTIONS", polling4, "", "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
			c.ask("no preflight", "OPTIONS", polling4, "", "Origin", page)
			c.ask("no origin", "OPTIONS", polling4, "")
		}},
		{
			name: "CORS for all origins", node: map[string]any{"cors": map[string]any{"origin": "*"}},
			ours: engineio.ServerOptions{AllowedOrigins: []string{"*"}},
			calls: func(c *caller) {
				c.ask("handshake", "GET", polling4, "", "Origin", page)
				c.ask("preflight", "OPTIONS", polling4, "", "Origin", page, "Access-Control-Request-Method", "POST")
				c.ask("refused", "GET", "EIO=4", "", "Origin", page)
			},
		},
	}
	return append(all, refusals()...)
}

// refusals are single requests, each also as a WebSocket handshake.
func refusals() []script {
	var all []script
	for _, r := range []struct {
		name, method, query string
		node                map[string]any
		ours                engineio.ServerOptions
	}{
		{name: "no transport", query: "EIO=4"},
		{name: "nothing at all", query: ""},
		{name: "empty transport", query: "EIO=4&transport="},
		{name: "unknown transport", query: "EIO=4&transport=tobi"},
		{name: "transport in capitals", query: "EIO=4&transport=POLLING"},
		{name: "property of objects as transport", query: "EIO=4&transport=__proto__"},
		{name: "constructor as transport", query: "EIO=4&transport=constructor"},
		{name: "WebTransport over HTTP", query: "EIO=4&transport=webtransport"},
		{
			name: "polling disabled", query: polling4, node: map[string]any{"transports": []string{"websocket"}},
			ours: engineio.ServerOptions{Transports: []engineio.Transport{engineio.WebSocket}},
		},
		{
			name: "websocket disabled", query: websocket4, node: map[string]any{"transports": []string{"polling"}},
			ours: engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}},
		},
		{name: "unknown sid", query: polling4 + "&sid=none"},
		{name: "unknown sid, websocket", query: websocket4 + "&sid=none"},
		{name: "unknown sid, POST", method: "POST", query: polling4 + "&sid=none"},
		{name: "property of objects as sid", query: polling4 + "&sid=__proto__"},
		{name: "constructor as sid", query: polling4 + "&sid=constructor"},
		{name: "empty sid", query: polling4 + "&sid="},
		{name: "POST", method: "POST", query: polling4},
		{name: "PUT", method: "PUT", query: polling4},
		{name: "DELETE", method: "DELETE", query: polling4},
		{name: "HEAD", method: "HEAD", query: polling4},
		{name: "OPTIONS without CORS", method: "OPTIONS", query: polling4},
		{name: "websocket", query: websocket4},
		{name: "websocket, POST", method: "POST", query: websocket4},
		{name: "revision 3 unasked", query: polling3, node: nodeOnly4, ours: only4},
		{name: "revision 3 unasked, websocket", query: websocket3, node: nodeOnly4, ours: only4},
		{name: "no revision", query: "transport=polling", node: nodeOnly4, ours: only4},
		{name: "no revision where 3 is served", query: "transport=polling"},
		{name: "revision 5", query: "EIO=5&transport=polling", node: nodeOnly4, ours: only4},
		{name: "revision 04", query: "EIO=04&transport=polling", node: nodeOnly4, ours: only4},
		{name: "revision 5 where 3 is served", query: "EIO=5&transport=polling"},
		{name: "the last revision counts", query: "EIO=4&EIO=3&transport=polling", node: nodeOnly4, ours: only4},
		{name: "the last transport counts", query: "EIO=4&transport=tobi&transport=polling"},
		{name: "the last sid counts", query: polling4 + "&sid=none&sid="},
		{name: "escapes", query: "%45IO=4&transport=%70olling"},
		{name: "bad escapes", query: "EIO=4&transport=polling%zz"},
		{name: "bad escapes elsewhere", query: "x=%zz&EIO=4&transport=polling"},
		{name: "a semicolon", query: "EIO=4;x&transport=polling"},
		{name: "a plus", query: "EIO=4&transport=poll+ing"},
		{name: "order: transport before sid", query: "EIO=4&transport=tobi&sid=none"},
		{name: "order: transport before method", method: "POST", query: "EIO=4&transport=tobi"},
		{name: "order: sid before revision", query: "EIO=9&transport=polling&sid=none", node: nodeOnly4, ours: only4},
		{name: "order: method before revision", method: "POST", query: polling3, node: nodeOnly4, ours: only4},
		{name: "order: the lack of an upgrade before revision", query: websocket3, node: nodeOnly4, ours: only4},
	} {
		method := r.method
		if method == "" {
			method = "GET"
		}
		all = append(all, script{name: "refused: " + r.name, node: r.node, ours: r.ours, calls: func(c *caller) {
			c.ask("request", method, r.query, "")
			p := c.begin(strings.Replace(c.handshake(r.query), "GET", method, 1))
			if resp := p.answer("upgrade"); resp != nil && resp.StatusCode == 101 {
				p.hear("frame")
			}
		}})
	}
	return all
}
