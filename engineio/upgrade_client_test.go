package engineio_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestClientUpgradeWithALateNoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		fs.received <- wc.readText()
		_ = wc.sendText("4over websocket")
		fs.received <- wc.readText()
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		synctest.Wait()
		require.Equal(t, "2probe", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("waits")))
		time.Sleep(5 * time.Second)
		require.Empty(t, fs.received, "no 5 while a poll is under way")
		require.Empty(t, fs.posted(), "polling is paused")
		poll <- "4a real message\x1e6"
		require.Equal(t, "5", <-fs.received)
		require.Equal(t, "4waits", <-fs.received)
		require.Equal(t, "a real message", <-got)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
	})
}

func TestClientUpgradeWithAnEarlyNoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		<-fs.step
		_ = wc.sendText("3probe")
		fs.received <- wc.readText()
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		poll <- "6" // too early: the client polls again
		poll = <-fs.polls
		require.NoError(t, s.Write(t.Context(), engineio.Text("by polling")))
		synctest.Wait()
		require.Equal(t, "4by polling", fs.posted())
		close(fs.step)
		synctest.Wait()
		require.Empty(t, fs.received)
		poll <- "6"
		require.Equal(t, "5", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("by websocket")))
		require.Equal(t, "4by websocket", <-fs.received)
	})
}

func TestClientUpgradeWithoutANoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		fs.received <- wc.readText() // the client abandons the upgrade
	}
	inFakeServer(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		start := time.Now()
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("held up")))
		require.Empty(t, <-fs.received, "the WebSocket ends")
		require.Equal(t, 3*time.Second, time.Since(start))
		synctest.Wait()
		require.Equal(t, "4held up", fs.posted(), "polling goes on")
		poll <- "4alive"
		require.Equal(t, "alive", <-got)
		require.Equal(t, engineio.Polling, s.Transport())
		<-fs.polls
	})
}

// The server moves when it reads the 5, so the timeout of the upgrade must not close the WebSocket while the 5 is in
// transit.
func TestClientUpgradeTimeoutWhileTheLastPacketIsSent(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		time.Sleep(4 * time.Second) // the network delays the 5
		fs.received <- wc.readText()
		_ = wc.sendText("4over websocket")
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		synctest.Wait() // the client has read the 3probe, so it does not poll again
		poll <- "6"
		require.Equal(t, "5", <-fs.received)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
		require.NoError(t, s.Write(t.Context(), engineio.Text("moved")))
		require.Equal(t, "4moved", <-fs.received)
	})
}

// If the WebSocket of an upgrade fails in any way, the session stays on polling.
func TestClientUpgradeThatFails(t *testing.T) {
	for name, line := range map[string]func(fs *fakeServer, wc *fakeWebSocket){
		"closed at once":        func(*fakeServer, *fakeWebSocket) {},
		"closed at the probe":   func(_ *fakeServer, wc *fakeWebSocket) { wc.readText() },
		"another answer":        func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("3other") },
		"a message":             func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("4x") },
		"garbage":               func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("") },
		"closed at the upgrade": func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("3probe") },
		"silence":               func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); wc.readText() },
		"refused":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
				poll := <-fs.polls
				time.Sleep(time.Minute / 6)
				poll <- "4a"
				require.Equal(t, "a", <-got)
				require.NoError(t, s.Write(t.Context(), engineio.Text("b")))
				poll = <-fs.polls
				synctest.Wait()
				if name == "closed at the upgrade" && s.Transport() == engineio.WebSocket {
					return // the client notices the end after its 5, too late to return to polling
				}
				require.Equal(t, "4b", fs.posted())
				poll <- "4c"
				require.Equal(t, "c", <-got)
				require.Equal(t, engineio.Polling, s.Transport())
				<-fs.polls
			})
		})
	}
}
