package interop

import (
	"fmt"

	"github.com/bigcompany/mesh/engineio"
)

// upgradeScripts are about sessions that move from polling to a WebSocket.
func upgradeScripts() []script {
	var all []script
	for _, rev := range bothRevisions {
		add := func(name string, calls func(c *caller)) *script {
			all = append(all, script{name: fmt.Sprintf("upgrade, revision %d: %s", rev, name), calls: func(c *caller) {
				c.open(rev)
				calls(c)
			}})
			return &all[len(all)-1]
		}
		probe := func(c *caller) *pending {
			p := c.socket("handshake", c.upgradeQuery())
			p.say("2probe")
			p.hear("probe")
			return p
		}
		add("all the way", func(c *caller) {
			poll := c.hold()
			p := probe(c)
			poll.answer("poll that waited")
			c.poll("another poll")
			p.say("5")
			p.say("4hello")
			p.hear("echo")
			c.poll("poll after")
			c.post("post after", c.framed("4x"))
			c.ask("without an upgrade", "GET", c.upgradeQuery(), "")
			p.say("4still")
			p.hear("echo again")
		}).silent = true
		add("a message while upgrading", func(c *caller) {
			p := probe(c)
			c.post("post", c.framed("4posted"))
			p.say("5")
			p.hear("echo of the post")
			p.say("4hello")
			p.hear("echo")
		})
		add("messages before the upgrade", func(c *caller) {
			p := probe(c)
			c.control("send?text=one&count=2")
			p.say("5")
			p.hear("first")
			p.hear("second")
		})
		for packet, name := range map[string]string{
			"2": "a ping that is no probe", "4x": "a message", "3probe": "a pong", "1": "a close packet", "6": "a noop",
			"2probe?": "another probe", "abc": "garbage", "": "nothing", "0{}": "an open packet",
		} {
			add("instead of the probe: "+name, func(c *caller) {
				p := c.socket("handshake", c.upgradeQuery())
				p.say(packet)
				p.hear("answer")
				c.echo("after")
			})
			if packet != "2probe?" {
				add("after the probe: "+name, func(c *caller) {
					p := probe(c)
					p.say(packet)
					p.hear("answer")
					c.echo("after")
				})
			}
		}
		add("no probe before the upgrade", func(c *caller) {
			p := c.socket("handshake", c.upgradeQuery())
			p.say("5")
			p.say("4hello")
			p.hear("echo")
			c.poll("poll after")
		})
		add("the probe twice", func(c *caller) {
			p := probe(c)
			p.say("2probe")
			p.hear("second answer")
			p.say("5")
			p.say("4hello")
			p.hear("echo")
		})
		add("a second one while upgrading", func(c *caller) {
			p := probe(c)
			second := c.socket("second handshake", c.upgradeQuery())
			second.hear("frame of the second")
			p.say("5")
			p.say("4hello")
			p.hear("echo")
		})
		add("a second one afterwards", func(c *caller) {
			p := probe(c)
			p.say("5")
			p.say("4hello")
			p.hear("echo")
			second := c.socket("second handshake", c.upgradeQuery())
			second.hear("frame of the second")
			p.say("4still")
			p.hear("echo again")
		})
		add("the WebSocket breaks", func(c *caller) {
			p := probe(c)
			_ = p.conn.Close()
			c.echo("after")
			p = probe(c)
			p.say("5")
			p.say("4hello")
			p.hear("echo")
		})
		add("a close frame", func(c *caller) {
			p := probe(c)
			p.more(frame(closeFrame, "\x03\xe8"))
			p.hear("answer")
			c.echo("after")
		})
		add("a close packet is posted", func(c *caller) {
			p := probe(c)
			c.post("post", c.framed("1"))
			p.hear("frame")
			c.awaitState("closed", controlState{})
		})
		add("the server closes", func(c *caller) {
			p := probe(c)
			c.control("close")
			p.say("5")
			p.hear("frame")
			c.awaitState("closed", controlState{})
		})
		add("another revision", func(c *caller) {
			c.rev = 7 - c.rev
			p := c.socket("handshake", fmt.Sprintf("EIO=%d&transport=websocket&sid=%s", c.rev, c.sid))
			_ = p
			c.rev = 7 - c.rev
			c.echo("after")
		})
		add("binary", func(c *caller) {
			p := probe(c)
			p.say("5")
			p.more(frame(binaryFrame, "\x04\x01\x02"))
			p.hear("echo")
		})
	}
	return append(all,
		script{
			name: "upgrade: not allowed", node: map[string]any{"allowUpgrades": false},
			ours: engineio.ServerOptions{NoUpgrade: true},
			calls: func(c *caller) {
				c.open(4)
				p := c.socket("handshake", c.upgradeQuery())
				p.say("2probe")
				p.hear("answer")
				c.echo("after")
			},
		},
		script{
			name: "upgrade: never finished", node: map[string]any{"upgradeTimeout": 200},
			ours: engineio.ServerOptions{UpgradeTimeout: 200e6},
			calls: func(c *caller) {
				c.open(4)
				p := c.socket("handshake", c.upgradeQuery())
				p.say("2probe")
				p.hear("probe")
				p.hear("end")
				c.echo("after")
			},
		},
	)
}
