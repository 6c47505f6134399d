package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

const authPacket = `{"event":"e","payload":{},"eventTable":{"news":{}},"headers":{"auth":{"user":%q,"password":%q}}}`

func TestAuthAdmitsThePair(t *testing.T) {
	for _, c := range []struct {
		user, password string
		admitted       bool
	}{
		{"u", "p", true}, {"u", "", false}, {"", "p", false}, {"", "", false}, {"u", "pp", false}, {"p", "u", false}, {"U", "p", false},
	} {
		err := mesh.BasicAuth("u", "p")(context.Background(), mesh.Credentials{User: c.user, Password: c.password})
		require.Equal(t, c.admitted, err == nil, "%q %q", c.user, c.password)
	}
}

func TestAuthRefusalEndsConnectAtOnce(t *testing.T) {
	for name, transports := range map[string][]engineio.Transport{
		"polling": {engineio.Polling}, "websocket": {engineio.WebSocket}, "both": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			hub := listen(t, mesh.Options{Authorize: func(context.Context, mesh.Credentials) error {
				asked.Add(1)
				return errors.New("some inner reason")
			}})
			_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), User: "u", Password: "p", Transports: transports})
			var refused *mesh.AuthError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "user, password or token refused", refused.Message)
			require.EqualValues(t, 1, asked.Load())
			require.EqualValues(t, 1, hub.Stats().AuthFailures)
			eventually(t, "the session is gone", func() bool { return hub.Stats().Muted == 0 })
		})
	}
}

func TestAuthSeesCredentialsAndPeer(t *testing.T) {
	seen := make(chan mesh.Credentials, 10)
	hub := listen(t, mesh.Options{Authorize: func(_ context.Context, c mesh.Credentials) error {
		seen <- c
		return nil
	}})
	connect(t, hub, mesh.Options{User: "é", Password: "pässword", Name: "client"})
	c := <-seen
	require.NotEmpty(t, c.RemoteAddr)
	require.Equal(t, []string{"é", "pässword", "client"}, []string{c.User, c.Password, c.Name}) // Credentials do not print these fields

	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"x"}`, `{"event":"x"}`)
	w.Barrier()
	c = <-seen
	require.True(t, c.User == "" && c.Password == "", "who presents nothing presents empty credentials, once")
	require.Empty(t, seen)
}

func TestAuthRunsAgainWhenCredentialsChange(t *testing.T) {
	var asked atomic.Int32
	pair := mesh.BasicAuth("u", "p")
	hub := listen(t, mesh.Options{Authorize: func(ctx context.Context, c mesh.Credentials) error {
		asked.Add(1)
		return pair(ctx, c)
	}})
	w := meshtest.Dial(t, hub.URL(), nil)
	hears := func() bool {
		w.Barrier()
		require.NoError(t, hub.Emit("news", nil))
		return len(w.Received()) == 1
	}
	w.Send(fmt.Sprintf(authPacket, "u", "p"))
	require.True(t, hears())
	w.Send(fmt.Sprintf(authPacket, "u", "p"), `{"event":"x"}`)
	require.True(t, hears(), "the last verdict holds for a packet without credentials")
	require.EqualValues(t, 1, asked.Load(), "the same credentials are asked for once")

	w.Send(fmt.Sprintf(authPacket, "u", "other"))
	require.False(t, hears())
	require.Equal(t, 1, hub.Stats().Muted)
	w.Send(fmt.Sprintf(authPacket, "u", "other"), `{"event":"x"}`)
	require.False(t, hears())
	require.EqualValues(t, 2, asked.Load())

	w.Send(fmt.Sprintf(authPacket, "u", "p"))
	require.True(t, hears())
	require.Equal(t, 1, hub.Stats().Peers)
}

func TestAuthGuessesAreBounded(t *testing.T) {
	var asked atomic.Int32
	hub := listen(t, mesh.Options{Authorize: func(context.Context, mesh.Credentials) error {
		asked.Add(1)
		return errors.New("no")
	}})
	w := meshtest.Dial(t, hub.URL(), nil)
	for i := range 100 {
		w.Send(fmt.Sprintf(authPacket, "u", fmt.Sprint(i)))
	}
	w.Barrier()
	require.EqualValues(t, 8, asked.Load())
	require.EqualValues(t, 100, hub.Stats().Unauthorized)
}

func TestAuthLaterPacketsWait(t *testing.T) {
	release := make(chan struct{})
	hub := listen(t, mesh.Options{Authorize: func(context.Context, mesh.Credentials) error {
		<-release
		return nil
	}})
	heard := listenTo(t, hub, "e")
	slow := meshtest.Dial(t, hub.URL(), nil)
	slow.Send(fmt.Sprintf(authPacket, "u", "p"), `{"event":"e","payload":2}`)
	require.Empty(t, heard.C)
	close(release)
	require.Equal(t, "{}", string(heard.Next().Payload))
	require.Equal(t, "2", string(heard.Next().Payload))
}

// inMemory runs a test with a hub and its network in a synctest bubble.
func inMemory(t *testing.T, opts mesh.Options, test func(t *testing.T, hub *mesh.Node, network *meshtest.Network)) {
	synctest.Test(t, func(t *testing.T) {
		hub, network := serveInMemory(t, opts)
		test(t, hub, network)
	})
}

func TestAuthCallbackEndsWithinFiveSeconds(t *testing.T) {
	for name, verdict := range map[string]error{"that gives up": context.DeadlineExceeded, "that admits too late": nil} {
		t.Run(name, func(t *testing.T) {
			opts := mesh.Options{Authorize: func(ctx context.Context, _ mesh.Credentials) error {
				<-ctx.Done()
				return verdict
			}}
			inMemory(t, opts, func(t *testing.T, hub *mesh.Node, network *meshtest.Network) {
				start := time.Now()
				_, err := mesh.Connect(context.Background(), &mesh.Options{Addr: "http://mesh", HTTPClient: network.Client, Transports: overWebSocket})
				var refused *mesh.AuthError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, "authorization took too long", refused.Message)
				require.Equal(t, 5*time.Second, time.Since(start))
				require.EqualValues(t, 1, hub.Stats().AuthFailures)
			})
		})
	}
}

func TestAuthRefusedPeerThatDidNotNegotiateIsMutedAndClosedAfter30s(t *testing.T) {
	for name, packet := range map[string]string{
		"refused": fmt.Sprintf(authPacket, "u", "wrong"),
		"silent":  "",
		"garbage": "{{{",
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")}, func(t *testing.T, hub *mesh.Node, network *meshtest.Network) {
				start := time.Now()
				w := dialInMemory(t, network)
				if packet != "" {
					w.Send(packet)
				}
				w.Barrier()
				time.Sleep(29 * time.Second)
				synctest.Wait()
				w.Barrier()
				require.Equal(t, 1, hub.Stats().Muted, "a Node.js client would reconnect at once")
				<-w.Done
				require.Equal(t, 30*time.Second, time.Since(start))
				synctest.Wait()
				require.Equal(t, 0, hub.Stats().Muted)
			})
		})
	}
}

func TestAuthAdmittedPeerIsNotClosedAfter30s(t *testing.T) {
	inMemory(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")}, func(t *testing.T, hub *mesh.Node, network *meshtest.Network) {
		w := dialInMemory(t, network)
		w.Send(fmt.Sprintf(authPacket, "u", "p"))
		for range 100 { // longer than the heartbeat permits a silent peer
			time.Sleep(time.Second)
			w.Barrier()
		}
		// Rejected credentials start MuteTimeout again.
		w.Send(fmt.Sprintf(authPacket, "u", "wrong"))
		w.Barrier()
		start := time.Now()
		<-w.Done
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestNegotiatedPeerLearnsThatItsLaterCredentialsAreRejected(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"handshake","headers":{"auth":{"user":"u","password":"p"},"mesh":{"v":1,"key":"` + testKey + `"}}}`)
	require.Contains(t, w.Next(), "$mesh.hello")
	w.Send(fmt.Sprintf(authPacket, "u", "wrong"))
	require.Equal(t, `{"event":"$mesh.unauthorized","payload":{"message":"user, password or token refused"}}`, w.Next())
	w.AwaitEnd()
}

func TestAuthEstablishedClientKeepsTryingWhenRefused(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	hub := listen(t, mesh.Options{Authorize: func(context.Context, mesh.Credentials) error {
		if open.Load() {
			return nil
		}
		return errors.New("closed")
	}})
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	states := make(chan mesh.State, 100)
	c.OnState(func(s mesh.State) { states <- s })
	require.Equal(t, mesh.Connected, (<-states).Status)
	open.Store(false)
	p.Cut()
	require.Equal(t, mesh.Disconnected, (<-states).Status)
	var refused *mesh.AuthError
	require.ErrorAs(t, (<-states).Err, &refused)
	require.ErrorAs(t, (<-states).Err, &refused)
	open.Store(true)
	for s := range states {
		if s.Status == mesh.Connected {
			require.Empty(t, cmp.Diff(mesh.HubInfo{ID: hub.ID()}, s.Hub))
			break
		}
	}
	flush(t, c)
}

func TestCredentialsGoToALegacyHubInEveryPacket(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	require.NoError(t, c.Emit("e", nil)) // otherwise the hub fails the test
	flush(t, c)
}
