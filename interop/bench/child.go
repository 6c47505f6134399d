package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

const (
	startTimeout = 30 * time.Second // in the worst case a server loads its packages from a cold disk
	endTimeout   = 5 * time.Second  // for a server to end by itself
	lastMoment   = 500 * time.Millisecond
)

// child is a server in a separate process. The process ends when its standard input ends, so that it does not outlive
// this program; a process with terminate ends on SIGTERM.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	facts  *process.Process
	addr   string
	port   chan int
	stderr tail
	ended  chan struct{} // closed when the process has ended
	err    error         // result of the process; valid when ended is closed

	terminate bool     // the process ignores its standard input and ends on SIGTERM
	others    []*child // the other hubs of its cluster, which end with it
}

// startChild starts cmd and waits until the process reports its port. If line is not empty, startChild writes it to the
// standard input of the process. The context of cmd ends the process.
func startChild(ctx context.Context, cmd *exec.Cmd, line string) (*child, error) {
	c, err := spawn(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if err := c.listening(ctx, line); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// startHub starts a hub of the command mesh, which listens on addr and ends on SIGTERM. It does not wait until the hub
// listens.
func startHub(ctx context.Context, cmd *exec.Cmd, addr string) (*child, error) {
	c, err := spawn(ctx, cmd)
	if err != nil {
		return nil, err
	}
	c.addr, c.terminate = addr, true
	return c, nil
}

func spawn(ctx context.Context, cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, port: make(chan int, 1), ended: make(chan struct{})}
	cmd.Stderr = &c.stderr
	cmd.WaitDelay = endTimeout
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go c.run(out)
	if c.facts, err = process.NewProcessWithContext(ctx, int32(cmd.Process.Pid)); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

func (c *child) listening(ctx context.Context, line string) (err error) {
	if line != "" {
		_, _ = io.WriteString(c.in, line+"\n") // if the process has ended, ended is closed
	}
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case port := <-c.port:
		c.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		return nil
	case <-c.ended:
		return c.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("it did not listen within %v", startTimeout)
	}
}

// run reads the events of the process until the process ends.
func (c *child) run(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var event struct {
			Event string
			Port  int
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Event == "listening" {
			select {
			case c.port <- event.Port:
			default: // the port is known already
			}
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long for the scanner, so that the process does not block in a write
	c.err = c.cmd.Wait()
	close(c.ended)
}

// why returns the reason why the process has ended, or nil if the process runs. It waits for lastMoment, because the
// connections of a process end before the process does.
func (c *child) why() error {
	select {
	case <-c.ended:
	case <-time.After(lastMoment):
		return nil
	}
	err := c.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if last := c.stderr.line(); last != "" {
		return fmt.Errorf("it ended (%w): %s", err, last)
	}
	return fmt.Errorf("it ended (%w)", err)
}

// end ends the process and its others, and waits until they have ended.
func (c *child) end() {
	for _, other := range c.others {
		other.end()
	}
	_ = c.in.Close()
	if c.terminate {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only if the process has ended
	}
	select {
	case <-c.ended:
		return
	case <-time.After(endTimeout):
	}
	_ = c.cmd.Process.Kill() // fails only if the process has ended by now
	<-c.ended
}

// memory returns the resident memory of the process, in bytes.
func (c *child) memory(ctx context.Context) (float64, error) {
	m, err := c.facts.MemoryInfoWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("the server's memory: %w", err)
	}
	return float64(m.RSS), nil
}

// cpu returns the CPU time of the process and its others, user and system together.
func (c *child) cpu(ctx context.Context) (time.Duration, error) {
	t, err := c.facts.TimesWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("the server's CPU time: %w", err)
	}
	sum := time.Duration((t.User + t.System) * float64(time.Second))
	for _, other := range c.others {
		d, err := other.cpu(ctx)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// tail keeps the last tailSize bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// line returns the most useful line: the first line with an error, which Node.js prints above the stack, or else the
// last line.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := ""
	for l := range strings.Lines(string(t.text)) {
		l = strings.TrimSpace(l)
		if strings.Contains(l, "Error: ") || strings.HasPrefix(l, "panic: ") {
			return l
		}
		if l != "" {
			last = l
		}
	}
	return last
}
