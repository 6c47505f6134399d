package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/interop"
)

// The limits of the cost of a connection whose client has shown no credentials.
const (
	mostCost     = 100 << 10 // bytes
	mostIdleCost = 25 << 10  // bytes, of a connection that waits for another request
	mostTime     = 30 * time.Second
	idleTime     = 2 * time.Minute // docs/security.md
	timeSlack    = 5 * time.Second // for a busy machine, and for the last connections to open
)

// cost is the cost of one kind of connection.
type cost struct {
	kind     kind
	resident int64 // bytes of the hub's memory, each connection
	kernel   int64 // bytes in the kernel's queues of the hub's sockets, each connection
	held     time.Duration
	ended    bool // the hub has closed all connections
}

func costCommand(stdout io.Writer) *cobra.Command {
	var hub string
	var count int
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Print the cost of connections without credentials, by kind",
		Long: `cost opens connections without credentials to a hub that demands credentials, and prints
a table in Markdown: for each connection, the hub's memory, the bytes in the kernel's
queues, and how long the hub keeps it. The exit status is 1 if a connection costs more
than 100 KB in total, or lasts longer than 30 s. For a connection that waits for another
request, the limits are 25 KB in total and 2 min.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if hub == "" {
				var err error
				if hub, err = interop.BuildMesh(); err != nil {
					return err
				}
			}
			return printCosts(cmd.Context(), stdout, hub, count, wait)
		},
	}
	cmd.Flags().StringVar(&hub, "hub", "", "measure a hub of the command mesh in `FILE` (default: the command of this source tree)")
	cmd.Flags().IntVar(&count, "connections", 200, "open `N` connections of each kind")
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute+10*time.Second, "wait at most `TIME` for the hub to close them")
	return cmd
}

var errCost = errors.New("a connection costs more than it may")

func printCosts(ctx context.Context, stdout io.Writer, hub string, count int, wait time.Duration) error {
	costs, err := measureCosts(ctx, hub, count, wait)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stdout, "| connection | hub's memory KB | kernel's queues KB | held s |\n|---|---|---|---|")
	failed := false
	for _, c := range costs {
		held := fmt.Sprintf("%.1f", c.held.Seconds())
		if !c.ended {
			held = "> " + held
		}
		_, _ = fmt.Fprintf(stdout, "| %s | %.1f | %.1f | %s |\n", c.kind.name, float64(c.resident)/1024, float64(c.kernel)/1024, held)
		failed = failed || c.tooMuch()
	}
	if failed {
		return errCost
	}
	return nil
}

// tooMuch reports whether a connection costs more than it may.
func (c cost) tooMuch() bool {
	if c.kind.idle {
		return c.resident+c.kernel > mostIdleCost || c.held > idleTime+timeSlack
	}
	return c.resident+c.kernel > mostCost || c.held > mostTime+timeSlack
}

// measureCosts measures all kinds at once, each at a separate hub process.
func measureCosts(ctx context.Context, hub string, count int, wait time.Duration) ([]cost, error) {
	costs, errs := make([]cost, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, k := range kinds {
		all.Go(func() { costs[i], errs[i] = k.measure(ctx, hub, count, wait) })
	}
	all.Wait()
	return costs, errors.Join(errs...)
}

func (k kind) measure(ctx context.Context, exe string, count int, wait time.Duration) (c cost, err error) {
	c.kind = k
	a := attack{hub: []string{"--user", "member"}, env: []string{"MESH_PASSWORD=secret"}}
	if k.tls {
		cert, key, err := certificate()
		if err != nil {
			return c, err
		}
		defer func() { _, _ = os.Remove(cert), os.Remove(key) }()
		a.hub = append(a.hub, "--cert", cert, "--key", key)
	}
	h, err := startHub(ctx, exe, a)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	open := func(n int) error {
		for range n {
			conn, err := k.open(ctx, h.addr)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			conns = append(conns, conn)
		}
		return nil
	}
	// The first connections make the hub fill its pools and grow its stacks, which must not count.
	if err := open(10); err != nil {
		return c, err
	}
	time.Sleep(time.Second)
	for _, conn := range conns {
		_ = conn.Close()
	}
	conns = nil
	time.Sleep(time.Second)
	before, err := h.facts.MemoryInfoWithContext(ctx)
	if err != nil {
		return c, err
	}
	files, err := h.facts.NumFDsWithContext(ctx)
	if err != nil {
		return c, err
	}
	if err := open(count); err != nil {
		return c, err
	}
	start := time.Now()
	time.Sleep(2 * time.Second)
	after, err := h.facts.MemoryInfoWithContext(ctx)
	if err != nil {
		return c, err
	}
	queued, err := queuedBytes(h.addr)
	if err != nil {
		return c, err
	}
	c.resident = max(0, int64(after.RSS)-int64(before.RSS)) / int64(count)
	c.kernel = queued / int64(count)
	for {
		now, err := h.facts.NumFDsWithContext(ctx)
		if err != nil {
			return c, err
		}
		c.held, c.ended = time.Since(start), now <= files
		if c.ended || c.held > wait || ctx.Err() != nil {
			return c, ctx.Err()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// queuedBytes returns the bytes in the kernel's queues of all connections of a server.
func queuedBytes(addr string) (sum int64, err error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		return 0, err
	}
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	local := fmt.Sprintf(":%04X", number)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 5 || !strings.HasSuffix(f[1], local) || f[3] == "0A" { // 0A is the state of a listening socket
			continue
		}
		for part := range strings.SplitSeq(f[4], ":") {
			b, err := hex.DecodeString(part)
			if err != nil {
				return 0, err
			}
			n := int64(0)
			for _, c := range b {
				n = n<<8 | int64(c)
			}
			sum += n
		}
	}
	return sum, nil
}
