package interop

import (
	"fmt"
	"strings"
	"testing"
)

// fleet is three hubs of one mesh, each a 'mesh listen' in a process of its own.
type fleet struct {
	t    *testing.T
	hubs []*hubProcess
}

type hubProcess struct {
	*daemon
	addr string // of its clients
	args []string
}

// startFleet starts hubs with --cluster, and with more arguments.
func startFleet(t *testing.T, args ...string) *fleet {
	t.Helper()
	var own []string
	for range clusterHubs {
		own = append(own, localAddr(stablePort(t)))
	}
	return startFleetWith(t, func(hub int) []string {
		list := append([]string{own[hub]}, own[:hub]...)
		return append([]string{"--cluster", strings.Join(append(list, own[hub+1:]...), ",")}, args...)
	})
}

// startFleetWith starts hubs with the arguments that args has for each, and returns when they know each other.
func startFleetWith(t *testing.T, args func(hub int) []string) *fleet {
	t.Helper()
	Need(t, "go")
	f := &fleet{t: t}
	for i := range clusterHubs {
		addr := localAddr(stablePort(t))
		f.hubs = append(f.hubs, &hubProcess{addr: addr, args: append([]string{"listen", "--addr", addr}, args(i)...)})
		f.start(i)
	}
	for _, h := range f.hubs {
		h.awaitReady(t)
	}
	return f
}

// start starts a hub, at the address that it had if it was there before. It is up to the caller to wait until it is ready.
func (f *fleet) start(hub int) {
	f.t.Helper()
	exe, err := meshCommand()
	if err != nil {
		f.t.Fatal(err)
	}
	h := f.hubs[hub]
	h.daemon = startDaemon(f.t, fmt.Sprintf("hub %d", hub), "http://"+h.addr+"/readyz", exe, h.args...)
}

// addrs are the addresses of all hubs, that of one of them first.
func (f *fleet) addrs(first int) string {
	var all []string
	for i := range f.hubs {
		all = append(all, f.hubs[(first+i)%len(f.hubs)].addr)
	}
	return strings.Join(all, ",")
}
