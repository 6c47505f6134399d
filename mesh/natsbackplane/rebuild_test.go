package natsbackplane_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/backplanetest"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// rejoinTime is the maximum time after the end of an outage in which a hub must join the others again.
const rejoinTime = 5 * time.Second

// reload changes the options of a running server.
func reload(t *testing.T, s *server.Server, change func(*server.Options)) {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: port(s), NoSigs: true, NoLog: true}
	change(opts)
	require.NoError(t, s.ReloadOptions(opts))
}

// pairOf joins two hubs through a server. The first one logs to log.
func pairOf(t *testing.T, s *server.Server, log *interoptest.Buffer, opts ...nats.Option) (b *natsbackplane.Backplane, m, other mesh.BackplaneMember, in, out *inbox) {
	t.Helper()
	in, out = new(inbox), new(inbox)
	b = natsbackplane.New(connect(t, s, append(opts, nats.Timeout(time.Second))...), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)})
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	other = join(t, connect(t, s, append(opts, nats.Timeout(time.Second))...), nil, out.receive)
	m.Subscribe("in", "$hubs")
	other.Subscribe("out", "$hubs", "e", "**")
	meet(t, m, "out", out)
	meet(t, other, "in", in)
	in.take()
	out.take()
	return b, m, other, in, out
}

// rejoins waits until both hubs receive each other's messages, and requires that it takes at most rejoinTime.
func rejoins(t *testing.T, m, other mesh.BackplaneMember, in, out *inbox) {
	t.Helper()
	watch := backplanetest.StartStopwatch(t)
	meet(t, m, "out", out)
	meet(t, other, "in", in)
	eventually(t, func() bool { return m.Err() == nil })
	require.Less(t, watch.Now(), rejoinTime)
}

// TestNATSClosesTheConnection sends a message that is larger than the server accepts after a reload, so that NATS
// closes the connection.
func TestNATSClosesTheConnection(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t, &server.Options{})
	var log interoptest.Buffer
	_, m, other, in, out := pairOf(t, s, &log)
	reload(t, s, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	for range 3 {
		if err := m.Publish("e", make([]byte, 100<<10), nil); err != nil {
			require.ErrorIs(t, err, mesh.ErrTooLarge)
		}
		require.NoError(t, m.Publish("e", []byte("small"), nil))
		rejoins(t, m, other, in, out)
	}
	require.ErrorIs(t, m.Publish("e", make([]byte, 100<<10), nil), mesh.ErrTooLarge)
	require.Contains(t, out.take(), "small")
	eventually(t, func() bool {
		return strings.Count(log.String(), "Maximum Payload Violation") == 1 && strings.Contains(log.String(), "raise max_payload of NATS")
	})
	require.NotContains(t, log.String(), "closed: other hubs cannot be reached")
}

// TestNamesTooLongForALine checks that names too long for a protocol line of NATS lose only their own events.
func TestNamesTooLongForALine(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"publish", "subscribe"} {
		t.Run(of, func(t *testing.T) {
			s := natstest.Run(t, &server.Options{MaxControlLine: 1024})
			var log interoptest.Buffer
			_, m, other, in, out := pairOf(t, s, &log)
			long := strings.Repeat("é", 256)
			for range 5 {
				if of == "publish" {
					_ = m.Publish(long, []byte("long"), nil)
				} else {
					m.Subscribe(long)
				}
				rejoins(t, m, other, in, out)
			}
			require.ErrorIs(t, m.Publish(long, nil, nil), mesh.ErrTooLarge)
			require.NoError(t, m.Publish(strings.Repeat("x", 512), []byte("512 bytes"), nil))
			eventually(t, func() bool { return out.has("512 bytes") })
			eventually(t, func() bool { return strings.Contains(log.String(), "max_control_line") })
			require.LessOrEqual(t, strings.Count(log.String(), "connected to NATS"), 3)
		})
	}
}

// TestNATSRejectsTheHub checks that the hub rejoins after NATS rejected it and then accepts it again, by a reload and
// by a restart.
func TestNATSRejectsTheHub(t *testing.T) {
	t.Parallel()
	users := func(password string) []*server.User { return []*server.User{{Username: "hub", Password: password}} }
	s := natstest.Start(t, &server.Options{Users: users("right")})
	defer func() { natstest.Stop(s) }()
	var log interoptest.Buffer
	_, m, other, in, out := pairOf(t, s, &log, nats.UserInfo("hub", "right"))
	reload(t, s, func(o *server.Options) { o.Users = users("another") })
	eventually(t, func() bool { return m.Err() != nil && strings.Contains(log.String(), "Authorization Violation") })
	time.Sleep(2 * time.Second) // time for many failed attempts
	reload(t, s, func(o *server.Options) { o.Users = users("right") })
	rejoins(t, m, other, in, out)
	require.Equal(t, 1, strings.Count(log.String(), "Authorization Violation"), log.String())
	require.NotContains(t, log.String(), "right")

	p := port(s)
	natstest.Stop(s)
	eventually(t, func() bool { return m.Err() != nil && strings.Contains(log.String(), "connection refused") })
	s = natstest.Start(t, &server.Options{Port: p, Users: users("right")})
	rejoins(t, m, other, in, out)
	require.Equal(t, 1, strings.Count(log.String(), "connection refused"), log.String())
}

// TestNATSDeniesSubjects denies subjects by a reload, and permits them again.
func TestNATSDeniesSubjects(t *testing.T) {
	t.Parallel()
	users := func(deny ...string) []*server.User {
		allowed := &server.SubjectPermission{Allow: []string{"mesh.>"}, Deny: deny}
		return []*server.User{{Username: "hub", Password: "right", Permissions: &server.Permissions{Publish: allowed, Subscribe: allowed}}}
	}
	s := natstest.Run(t, &server.Options{Users: users()})
	var log interoptest.Buffer
	_, m, other, in, out := pairOf(t, s, &log, nats.UserInfo("hub", "right"))
	reload(t, s, func(o *server.Options) { o.Users = users("mesh.e.one", "mesh.e.two", "mesh.e.three") })
	eventually(t, func() bool { return m.Err() == nil })
	m.Subscribe("one", "two")
	eventually(t, func() bool {
		_ = m.Publish("three", nil, nil)
		return strings.Contains(log.String(), `"mesh.e.one`) || strings.Contains(log.String(), `mesh.e.one\"`)
	})
	eventually(t, func() bool {
		return strings.Contains(log.String(), "mesh.e.two") && strings.Contains(log.String(), "mesh.e.three")
	})
	require.ErrorIs(t, m.Err(), nats.ErrPermissionViolation)
	time.Sleep(3 * time.Second) // time for repeated denials
	require.ErrorIs(t, m.Err(), nats.ErrPermissionViolation)
	for _, subject := range []string{"one", "two", "three"} {
		require.Equal(t, 1, strings.Count(log.String(), "mesh.e."+subject), log.String())
	}
	reload(t, s, func(o *server.Options) { o.Users = users() })
	rejoins(t, m, other, in, out)
	meet(t, other, "one", in)
	meet(t, other, "two", in)
	meet(t, m, "three", out)
}

// TestCredentialsExpire has credentials that expire while the hub is connected, and that are renewed in their file.
func TestCredentialsExpire(t *testing.T) {
	t.Parallel()
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	operatorKey, err := operator.PublicKey()
	require.NoError(t, err)
	accountKey, err := account.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(accountKey)
	token, err := claims.Encode(operator)
	require.NoError(t, err)
	accounts := &server.MemAccResolver{}
	require.NoError(t, accounts.Store(accountKey, token))
	trusted := jwt.NewOperatorClaims(operatorKey)
	s := natstest.Run(t, &server.Options{TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: accounts})

	file := filepath.Join(t.TempDir(), "hub.creds")
	renew := func(valid time.Duration) {
		user, err := nkeys.CreateUser()
		require.NoError(t, err)
		key, err := user.PublicKey()
		require.NoError(t, err)
		claims := jwt.NewUserClaims(key)
		claims.Expires = time.Now().Add(valid).Unix()
		token, err := claims.Encode(account)
		require.NoError(t, err)
		seed, err := user.Seed()
		require.NoError(t, err)
		creds, err := jwt.FormatUserConfig(token, seed)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, creds, 0o600))
	}
	renew(3 * time.Second)
	var log interoptest.Buffer
	_, m, other, in, out := pairOf(t, s, &log, nats.UserCredentials(file))
	eventually(t, func() bool { return strings.Contains(log.String(), "authentication expired") && m.Err() != nil })
	renew(time.Hour)
	rejoins(t, m, other, in, out)
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN msg=\"mesh: error of the connection to NATS\" error=\"nats: authentication expired\""), log.String())
}

// TestCausesOfAnOutage checks that the log shows each cause once.
func TestCausesOfAnOutage(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, &server.Options{})
	address, p := s.ClientURL(), port(s)
	var failure atomic.Pointer[error]
	dialer := dialing(func(network, address string) (net.Conn, error) {
		if err := failure.Load(); err != nil {
			return nil, *err
		}
		return net.DialTimeout(network, address, time.Second)
	})
	var log interoptest.Buffer
	m := join(t, connectTo(t, address, nats.SetCustomDialer(dialer)), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)}, func(string, []byte) {})
	fail := func(err error) { failure.Store(&err) }
	fail(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)})
	natstest.Stop(s)
	eventually(t, func() bool { return strings.Contains(log.String(), "too many open files") })
	fail(&net.DNSError{Err: "no such host", Name: "nats.example.com"})
	eventually(t, func() bool { return strings.Contains(log.String(), "no such host") })
	fail(errors.New("certificate has expired"))
	eventually(t, func() bool { return strings.Contains(log.String(), "certificate has expired") })
	time.Sleep(time.Second)
	for _, cause := range []string{"too many open files", "no such host", "certificate has expired"} {
		require.Equal(t, 1, strings.Count(log.String(), cause), log.String())
	}
	s = natstest.Start(t, &server.Options{Port: p})
	defer natstest.Stop(s)
	failure.Store(nil)
	eventually(t, func() bool { return m.Err() == nil })
}

type dialing func(network, address string) (net.Conn, error)

func (d dialing) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// TestSmallMaxPayload checks that the log warns of a small max_payload at the start.
func TestSmallMaxPayload(t *testing.T) {
	for most, warns := range map[int32]bool{1 << 20: false, 512 << 10: true} {
		s := natstest.Run(t, &server.Options{MaxPayload: most})
		var log interoptest.Buffer
		join(t, connect(t, s), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)}, func(string, []byte) {})
		require.Equal(t, warns, strings.Contains(log.String(), fmt.Sprint("max_payload=", most)), log.String())
	}
}

// TestPrefixesDoNotLeak has prefixes that are the beginning of others, with tokens that also follow a prefix in
// subjects.
func TestPrefixesDoNotLeak(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	prefixes := []string{"prod", "prod.e", "prod.h", "prod.i", "prod.e.e", "prod.e.h", "prod.x", "e", "e.e", "prod-e"}
	events := 1000
	if interoptest.Full() {
		events = 10_000
	}
	var ins []*inbox
	var emitting []mesh.BackplaneMember
	names := []string{"a", "e", "e::a", "e::e::a", "h::a", "x::e::a", "=e::a", "$hubs", "$hub-1"}
	for _, prefix := range prefixes {
		in := new(inbox)
		opts := &natsbackplane.Options{Prefix: prefix, ReceiveLimit: 256 << 20}
		listening := join(t, connect(t, s), opts, in.receive)
		listening.Subscribe(append([]string{"**", "*", "e::**", "*::a"}, names...)...)
		ins = append(ins, in)
		emitting = append(emitting, join(t, connect(t, s), opts, func(string, []byte) {}))
	}
	for i, m := range emitting {
		meet(t, m, "a", ins[i])
	}
	var wg sync.WaitGroup
	for i, m := range emitting {
		wg.Go(func() {
			for n := range events {
				for err := mesh.ErrBackplaneFull; errors.Is(err, mesh.ErrBackplaneFull); {
					err = m.Publish(names[n%len(names)], []byte(prefixes[i]), nil)
				}
			}
		})
	}
	wg.Wait()
	for i, in := range ins {
		var got []string
		eventually(t, func() bool { got = append(got, in.take()...); return len(got) >= events })
		require.Len(t, got, events, prefixes[i])
		for _, text := range got {
			require.Equal(t, prefixes[i], text)
		}
	}
}
