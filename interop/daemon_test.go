package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// daemon is a process that takes no commands, and reports over HTTP that it is ready.
type daemon struct {
	*Peer
	ready string // URL that responds with 200 if the process is ready

	peak atomic.Uint64 // largest resident memory, in bytes
}

// startDaemon starts a daemon. If it still runs when the test ends, it is killed.
func startDaemon(t *testing.T, name, ready, exe string, args ...string) *daemon {
	t.Helper()
	d := &daemon{Peer: startProgram(t, name, exec.CommandContext(t.Context(), exe, args...)), ready: ready}
	facts, err := process.NewProcess(int32(d.cmd.Process.Pid))
	require.NoError(t, err)
	go d.watch(facts) // until the process ends, which the test waits for
	return d
}

// watch records the largest resident memory until the process ends.
func (d *daemon) watch(facts *process.Process) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.exited:
			return
		}
		if m, err := facts.MemoryInfo(); err == nil { // it fails when the process has ended
			d.peak.Store(max(d.peak.Load(), m.RSS))
		}
	}
}

func (d *daemon) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, d.cmd.Process.Signal(s))
}

// terminate sends SIGTERM to the process and waits until it has ended. The exit status must be 0.
func (d *daemon) terminate(t *testing.T) {
	t.Helper()
	d.signal(t, syscall.SIGTERM)
	select {
	case <-d.exited:
		require.True(t, d.cmd.ProcessState.Success(), "%v", d.cmd.ProcessState)
	case <-time.After(AwaitTimeout):
		require.FailNow(t, "does not end")
	}
}

// awaitReady waits until the process is ready.
func (d *daemon) awaitReady(t *testing.T) {
	t.Helper()
	end := time.Now().Add(AwaitTimeout)
	for {
		err := get(t.Context(), d.ready, io.Discard)
		if err == nil {
			return
		}
		require.True(t, time.Now().Before(end), "not ready: %v", err)
		select {
		case <-d.exited:
			require.FailNow(t, "ended", "%v", d.cmd.ProcessState)
		case <-time.After(10 * time.Millisecond): // before the process listens there is no event to wait for
		}
	}
}

// get writes the page at a URL to into. A status other than 200 is an error.
func get(ctx context.Context, url string, into io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, AwaitTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true // leaves no idle connection for the rest of the test
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, res.Body)
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

var natsCommand = sync.OnceValues(func() (string, error) { return build("github.com/nats-io/nats-server/v2") })

// natsServer is a nats-server, built from its module, with its monitoring pages.
type natsServer struct {
	*daemon
	t    *testing.T
	args []string
	url  string
	page string // URL of the monitoring pages, without the name of a page
}

// startNATS starts a nats-server with more arguments. If its configuration has users, the caller must add one to url.
func startNATS(t *testing.T, args ...string) *natsServer {
	t.Helper()
	interoptest.Need(t, "go")
	port, pages := interoptest.StablePort(t), interoptest.StablePort(t)
	s := &natsServer{
		t: t, url: "nats://" + localAddr(port), page: "http://" + localAddr(pages) + "/",
		args: append([]string{"-a", "127.0.0.1", "-p", fmt.Sprint(port), "-m", fmt.Sprint(pages)}, args...),
	}
	s.start()
	return s
}

// start starts the server. It may be called again after the server has ended, and uses the same address.
func (s *natsServer) start() {
	s.t.Helper()
	exe, err := natsCommand()
	require.NoError(s.t, err)
	s.daemon = startDaemon(s.t, "nats-server", s.page+"healthz", exe, s.args...)
	s.awaitReady(s.t)
}

// connectNATS connects a hub to NATS until the test ends.
func connectNATS(t *testing.T, url, name string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, natsbackplane.Settings, nats.Name(name),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // the default one writes to standard error
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}
