package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// fleet is three hubs of one mesh, each a separate 'mesh listen' process.
type fleet struct {
	t    *testing.T
	hubs []*hubProcess
}

type hubProcess struct {
	*daemon
	addr string // for its clients
	args []string
}

// startFleet starts hubs with --cluster, and with more arguments.
func startFleet(t *testing.T, args ...string) *fleet {
	t.Helper()
	var own []string
	for range clusterHubs {
		own = append(own, localAddr(interoptest.StablePort(t)))
	}
	return startFleetWith(t, func(hub int) []string {
		list := append([]string{own[hub]}, own[:hub]...)
		return append([]string{"--cluster", strings.Join(append(list, own[hub+1:]...), ",")}, args...)
	})
}

// startFleetWith starts hubs, with further arguments from args for each. It returns when the hubs know each other.
func startFleetWith(t *testing.T, args func(hub int) []string) *fleet {
	t.Helper()
	interoptest.Need(t, "go")
	f := &fleet{t: t}
	for i := range clusterHubs {
		addr := localAddr(interoptest.StablePort(t))
		f.hubs = append(f.hubs, &hubProcess{addr: addr, args: append([]string{"listen", "--addr", addr}, args(i)...)})
		f.start(i)
	}
	for _, h := range f.hubs {
		h.awaitReady(t)
	}
	return f
}

// start starts a hub. It may start the hub again, at the same address. It does not wait until the hub is ready.
func (f *fleet) start(hub int) {
	f.t.Helper()
	exe, err := meshCommand()
	if err != nil {
		f.t.Fatal(err)
	}
	h := f.hubs[hub]
	h.daemon = startDaemon(f.t, fmt.Sprintf("hub %d", hub), "http://"+h.addr+"/readyz", exe, h.args...)
}

// addrs returns the addresses of all hubs, separated by commas. The address of hub first is the first one.
func (f *fleet) addrs(first int) string {
	var all []string
	for i := range f.hubs {
		all = append(all, f.hubs[(first+i)%len(f.hubs)].addr)
	}
	return strings.Join(all, ",")
}
