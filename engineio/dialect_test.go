package engineio_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func textPayload(enc packet.Encoding, texts ...string) string {
	var ps []packet.Packet
	for _, text := range texts {
		ps = append(ps, packet.Packet{Type: packet.Message, Data: []byte(text)})
	}
	return string(packet.AppendPayload(nil, engineio.Revision3, enc, ps...))
}

// In a browser, engine.io-client up to 1.5 reads every response as "ok" if it is not in the binary form.
func TestFormOfAnswers(t *testing.T) {
	const old = "1395794813200-0"
	for _, tt := range []struct {
		client, query string
		binary        bool
	}{
		{"1.4 and 1.5", "EIO=3&t=" + old, true},
		{"1.2 and 1.3", "EIO=2&t=" + old, true},
		{"1.5 with another timestampParam", "EIO=3&ts=" + old, true},
		{"1.6 and later", "EIO=3&t=Q85tEHY", false},
		{"the user of a later client has numbers in the query", "EIO=3&t=Q85tEHY&range=" + old, false},
		{"no timestamp", "EIO=3", false},
		{"no timestamp, but a short range", "EIO=3&range=1-20", false},
		{"1.5 in Node.js", "EIO=3&b64=1&t=" + old, false},
		{"0.9", "EIO=2", false},
	} {
		t.Run(tt.client, func(t *testing.T) {
			inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
				want := typeText
				if tt.binary {
					want = typeBinary
				}
				require.Equal(t, want, ts.request(http.MethodGet, "transport=polling&"+tt.query, nil).header.Get("Content-Type"))
				pc := ts.openPolling(engineio.Revision3, tt.query)
				require.Equal(t, "200 ok", pc.post("3:4hi1:2").summary())
				synctest.Wait() // the echo and the pong are queued
				answer := pc.poll()
				require.Equal(t, want, answer.header.Get("Content-Type"))
				require.Equal(t, "hi", string(answer.packets(t, engineio.Revision3)[0].Data))

				poll := inBackground(pc.poll)
				wc := pc.upgrade()
				wc.probe()
				answer = <-poll
				require.Equal(t, want, answer.header.Get("Content-Type"), "of a noop")
				require.Equal(t, packet.Noop, answer.packets(t, engineio.Revision3)[0].Type)
				require.NoError(t, wc.conn.Close())
			})
		})
	}
}

// twiceTexts are texts that the server must recognize as encoded twice in a session that shows its dialect in
// no other way.
var twiceTexts = []string{
	"Zürich", "voilà", "je vais à Paris", "Où es-tu ?", "¿Qué?", "20 °C", "źle", "łódź", "Příliš žluťoučký kůň", "vaikų",
	"Здравствуй", "είναι", "日本語", "😀", "é€😀", `["chat","Zürich"]`, `{"name":"José"}`,
}

// onceTexts are texts of clients that encode text once.
var onceTexts = []string{
	"Zürich", "é", "日本語", "😀", "100 Å³", "QUALITÉ\u00a0: 5", "MÜ® 1", "le café\u00a0»", "Ã©", "«\u00a0Ã©\u00a0»",
}

// engine.io-client 1.6 to 1.8 encodes text twice, 2.0 to 3.5 does not, and their requests are the same.
func TestDialectOfText(t *testing.T) {
	for _, query := range []string{"t=Q85tEHY", "t=Q85tEHY&b64=1"} {
		ts := newTestServer(t, echoHandler, bothRevisions())
		for enc, texts := range map[packet.Encoding][]string{packet.TextDoubleUTF8: twiceTexts, packet.Text: onceTexts} {
			for _, text := range texts {
				for _, later := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %v %q later=%v", query, enc, text, later), func(t *testing.T) {
						pc := ts.openPolling(engineio.Revision3, query)
						packets := []string{text}
						if later {
							packets = []string{"Zürich", "é" + text, text} // the session has shown its dialect before
						}
						require.Equal(t, "200 ok", pc.post(textPayload(enc, packets...)).summary())
						var back []string
						for len(back) < len(packets) {
							answer := pc.poll()
							ps := answer.packets(t, engineio.Revision3)
							if enc == packet.TextDoubleUTF8 && answer.header.Get("Content-Type") == typeText {
								var err error
								ps, err = packet.ParsePayload(engineio.Revision3, packet.TextDoubleUTF8, []byte(answer.body))
								require.NoError(t, err)
							}
							for _, p := range ps {
								back = append(back, string(p.Data))
							}
						}
						require.Equal(t, packets, back)
					})
				}
			}
		}
	}
}

// parser 1.0, which engine.io-client 1.2 and 1.3 use, encodes text twice in WebSocket frames too.
func TestTextOfTheOldestDialectInFrames(t *testing.T) {
	const text, twice = "Zürich €", "ZÃ¼rich â\u0082¬"
	shared := engineio.Prepare(engineio.Text(text))
	both := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil || s.Write(ctx, m) != nil || s.TryWrite(shared, engineio.Binary([]byte{1, 0xFC})) != nil {
				return
			}
		}
	})
	exchange := func(t *testing.T, wc *webSocketClient, sent string) {
		t.Helper()
		wc.sendText("4" + sent)
		require.Equal(t, "4"+sent, wc.readText())
		require.Equal(t, "4"+twice, wc.readText(), "a shared message")
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpBinary, f.Header.OpCode)
		require.Equal(t, "\x04\x01\xfc", string(f.Payload))
	}
	for _, deflate := range []bool{false, true} {
		ts := newTestServer(t, both, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}, PerMessageDeflate: deflate})
		t.Run(fmt.Sprintf("deflate=%v", deflate), func(t *testing.T) {
			pc := ts.openPolling(engineio.Revision3, "EIO=2&t=1395794813200-0")
			wc := ts.webSocket(strings.NewReplacer("polling", "websocket", "&t=1395794813200-0", "").Replace(pc.query))
			wc.probe()
			wc.sendText("5")
			exchange(t, wc, "ascii")
			exchange(t, wc, twice)
			require.NoError(t, wc.conn.Close())

			direct := ts.webSocket("EIO=2&transport=websocket")
			require.True(t, strings.HasPrefix(direct.readText(), "0{"))
			exchange(t, direct, twice)
			require.NoError(t, direct.conn.Close())
		})
	}
}

// The handler reads the text that the client meant.
func TestHandlersReadTextOfTheOldestDialect(t *testing.T) {
	got := make(chan string, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		if m, err := s.Read(ctx); err == nil {
			got <- string(m.Data)
		}
		_, _ = s.Read(ctx)
	}), bothRevisions())
	wc := ts.webSocket("EIO=2&transport=websocket")
	wc.sendText("4ZÃ¼rich")
	select {
	case text := <-got:
		require.Equal(t, "Zürich", text)
	case <-time.After(10 * time.Second):
		require.Fail(t, "no message")
	}
	require.NoError(t, wc.conn.Close())
}
