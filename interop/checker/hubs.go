package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bigcompany/mesh/interop"
)

// hub is a process of the command mesh, or a nats-server.
type hub struct {
	addr string
	cmd  *exec.Cmd
	log  string // a file
}

// startHubs starts the hubs of a mesh. Their logs are in dir.
func startHubs(ctx context.Context, mode, exe, nats, dir string) (hubs []*hub, stop func(), err error) {
	var all []*hub
	stop = func() {
		for _, h := range all {
			_ = h.cmd.Process.Kill()
			_ = h.cmd.Wait()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	start := func(name, addr, health string, args ...string) (*hub, error) {
		h := &hub{addr: addr, log: filepath.Join(dir, name+".log")}
		log, err := os.Create(h.log)
		if err != nil {
			return nil, err
		}
		defer func() { _ = log.Close() }()
		h.cmd = exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...) //nolint:gosec // the caller chooses the program
		h.cmd.Stdout, h.cmd.Stderr = log, log
		if err := h.cmd.Start(); err != nil {
			return nil, err
		}
		all = append(all, h)
		return h, h.await(ctx, health)
	}
	count := 3
	if mode == one {
		count = 1
	}
	exes := strings.Split(exe, ",")
	addrs, err := interop.FreeAddrs(ctx, 2*count+2)
	if err != nil {
		return nil, stop, err
	}
	var join func(i int) []string
	switch mode {
	case cluster:
		join = func(i int) []string {
			others := append([]string{addrs[count+i]}, addrs[count:count+i]...)
			return []string{"--cluster", strings.Join(append(others, addrs[count+i+1:2*count]...), ",")}
		}
	case throughNATS:
		server, monitor := addrs[2*count], addrs[2*count+1]
		host, port, _ := net.SplitHostPort(server)
		_, page, _ := net.SplitHostPort(monitor)
		if _, err := start("nats", server, "http://"+monitor+"/healthz", nats, "-a", host, "-p", port, "-m", page); err != nil {
			return nil, stop, err
		}
		join = func(int) []string { return []string{"--nats", "nats://" + server} }
	default:
		join = func(int) []string { return nil }
	}
	for i := range count {
		args := append([]string{exes[i%len(exes)], "listen", "--addr", addrs[i], "--log-level", "debug", "--metrics", "/metrics"}, join(i)...)
		h, err := start(fmt.Sprint("hub", i), addrs[i], "http://"+addrs[i]+"/healthz", args...)
		if err != nil {
			return nil, stop, err
		}
		hubs = append(hubs, h)
	}
	for _, h := range hubs {
		if err := h.await(ctx, "http://"+h.addr+"/readyz"); err != nil {
			return nil, stop, err
		}
	}
	return hubs, stop, nil
}

// await waits until a URL responds with status 200.
func (h *hub) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			log, _ := os.ReadFile(h.log)
			return fmt.Errorf("%s does not answer 200: %w\n%s", url, context.Cause(ctx), log)
		}
	}
}

// knowsOthers reports whether the hub knows n other hubs.
func (h *hub) knowsOthers(ctx context.Context, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.addr+"/metrics", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return err == nil && strings.Contains(string(body), fmt.Sprintf("\nmesh_hubs %d\n", n))
}
