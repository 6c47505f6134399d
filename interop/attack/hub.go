package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// hub is a `mesh listen` in a process.
type hub struct {
	cmd   *exec.Cmd
	addr  string // host:port
	facts *process.Process
	peak  atomic.Uint64 // resident memory, in bytes
	log   hubLog
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

func startHub(ctx context.Context, exe string, a attack) (*hub, error) {
	args := append([]string{"listen", "--addr", "127.0.0.1:0"}, a.hub...)
	if len(a.hubIfKnown) > 0 {
		help, err := exec.CommandContext(ctx, exe, "listen", "--help").Output()
		if err != nil {
			return nil, fmt.Errorf("%s listen --help: %w", exe, err)
		}
		for _, flag := range a.hubIfKnown {
			name, _, _ := strings.Cut(flag, "=")
			if strings.Contains(string(help), name+" ") {
				args = append(args, flag)
			}
		}
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), a.env...)
	h := &hub{cmd: cmd}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	out := bufio.NewReader(stderr)
	for h.addr == "" {
		line, err := out.ReadString('\n')
		if err != nil {
			return nil, errors.Join(errors.New("the hub ended before it listened"), cmd.Wait())
		}
		for word := range strings.FieldsSeq(line) {
			if u, err := url.Parse(word); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
				h.addr = u.Host
			}
		}
	}
	if h.facts, err = process.NewProcessWithContext(ctx, int32(cmd.Process.Pid)); err != nil {
		return nil, errors.Join(err, h.end())
	}
	watch, stop := context.WithCancel(ctx)
	h.stop = stop
	h.wait.Go(func() { _, _ = io.Copy(&h.log, out) })
	h.wait.Go(func() { h.watchMemory(watch) })
	return h, nil
}

func (h *hub) watchMemory(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if m, err := h.facts.MemoryInfoWithContext(ctx); err == nil && m.RSS > h.peak.Load() {
			h.peak.Store(m.RSS)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// cpu returns the CPU time that the hub has used.
func (h *hub) cpu(ctx context.Context) (time.Duration, error) {
	t, err := h.facts.TimesWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("the hub's CPU time: %w", err)
	}
	return time.Duration((t.User + t.System) * float64(time.Second)), nil
}

// end ends the process and waits for it.
func (h *hub) end() error {
	if h.stop != nil {
		h.stop()
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // fails only if the process has ended
	timer := time.AfterFunc(10*time.Second, func() { _ = h.cmd.Process.Kill() })
	defer timer.Stop()
	h.wait.Wait()
	if err := h.cmd.Wait(); err != nil {
		return fmt.Errorf("the hub: %w\n%s", err, h.log.text())
	}
	return nil
}

// hubLog keeps the first 16 KiB of a hub's log.
type hubLog struct {
	mu   sync.Mutex
	kept []byte
}

func (l *hubLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := 16<<10 - len(l.kept); room > 0 {
		l.kept = append(l.kept, b[:min(len(b), room)]...)
	}
	return len(b), nil
}

func (l *hubLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}
