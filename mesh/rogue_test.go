package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// rogueHub is a program that took a hub's address. It speaks the extensions, and sends any packets.
type rogueHub struct {
	// joined is called when a client has introduced itself. asked is called with each packet after that.
	joined func(say func(event, payload string))
	asked  func(p protocol.Packet, say func(event, payload string))
}

func startRogueHub(t *testing.T, h rogueHub) (url string) {
	srv := engineio.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		_ = srv.Close()
		web.Close()
	})
	return web.URL
}

func (h rogueHub) ServeSocket(ctx context.Context, s *engineio.Socket) {
	say := func(event, payload string) {
		packet := protocol.AppendPacket(nil, &protocol.Packet{Event: event, Payload: json.RawMessage(payload)}, true)
		_ = s.Write(ctx, engineio.Message{Data: packet}) // the client may have left
	}
	var parser protocol.Parser
	for met := false; ; {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		p, err := parser.Parse(m.Data)
		switch {
		case err != nil:
		case !met && p.Headers.Mesh != nil:
			met = true
			say("$mesh.hello", `{"v":1,"id":"`+protocol.ID(p.Headers.Mesh.Key)+`","hub":"rogue","name":""}`)
			if h.joined != nil {
				h.joined(say)
			}
		case h.asked != nil:
			h.asked(p, say)
		}
	}
}

func TestARogueHubCannotListNodesWithoutEnd(t *testing.T) {
	long := `{"id":"x","name":"` + strings.Repeat("x", 100_000) + `"}`
	for name, list := range map[string]func(after int) string{
		"from the same place": func(after int) string { return fmt.Sprintf(`{"id":"x"}],"next":%d`, max(1, after)) },
		"from before":         func(int) string { return `{"id":"x"}],"next":-1` },
		"of any size":         func(after int) string { return fmt.Sprintf(`%s],"next":%d`, long, after+1) },
	} {
		t.Run(name, func(t *testing.T) {
			answers := 0
			url := startRogueHub(t, rogueHub{asked: func(p protocol.Packet, say func(event, payload string)) {
				var q struct {
					RID   json.RawMessage
					After int
				}
				if p.Event == "$mesh.nodes" && json.Unmarshal(p.Payload, &q) == nil {
					answers++
					say(p.Event, `{"rid":`+string(q.RID)+`,"nodes":[`+list(q.After)+`}`)
				}
			}})
			c := connectTo(t, mesh.Options{Addr: url})
			_, err := mesh.NodesWithin(testContext(t), c, 1<<20)
			require.EqualError(t, err, "mesh: the hub reports too many nodes")
			require.LessOrEqual(t, answers, 1<<20/100_000+1)
		})
	}
}

func TestARogueHubCannotFloodTheLog(t *testing.T) {
	var log logBuffer
	url := startRogueHub(t, rogueHub{joined: func(say func(event, payload string)) {
		for range 200 {
			say("$mesh.refused", `{"rule":"`+strings.Repeat("r", 5000)+`","event":"`+strings.Repeat("e", 5000)+`","count":1}`)
		}
	}})
	c := connectTo(t, mesh.Options{Addr: url, Logger: log.logger()})
	eventually(t, "all were counted", func() bool { return c.Stats().Refused == 200 })
	require.LessOrEqual(t, strings.Count(log.String(), "rejects events"), 10, "a line a second")
	require.Less(t, len(log.String()), 25_000)
}
