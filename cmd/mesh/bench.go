package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
	"github.com/bigcompany/mesh/mesh"
)

// Bounds of a load. A value beyond them is more likely a mistake than intended.
const (
	maxPublishers    = 1_000
	maxSubscribers   = 20_000
	maxRate          = 1_000_000  // events a second
	maxDeliveries    = 20_000_000 // a second
	maxTraffic       = 8_000_000_000
	minSize          = 64 // bytes: enough for the time in a load of an hour
	maxSize          = 500_000
	minDuration      = 100 * time.Millisecond
	maxDuration      = time.Hour
	aheadOfLegacyHub = 50 // a Node.js hub sends nothing until it has processed everything that it has read
)

// benchFlags describes a load.
type benchFlags struct {
	nodeFlags
	publishers, subscribers int
	rate                    float64
	size                    int
	transports              []string
	duration                time.Duration
	json                    bool
}

func benchCommand(logs *logFlags) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags]",
		Short: "Put a running hub under load, and measure it",
		Long: `Put a running hub under load: publishers emit events that every subscriber gets.
Each publisher and subscriber has its own connection and is a plain Engine.IO client,
so that a Node.js hub gets the same load. The name of the event is new: only nodes
that listen to * or ** get the events too, such as the hub's page while it is open.

At the end it prints the rates, and the latency from sending an event to reading it:
p50, p90, p99 and the maximum. On the hub's own machine, the hub and the load share
the processors.

With --rate 0 publishers emit as fast as the slowest subscriber reads; the latency is
then the latency of full queues.

Ctrl-C ends the load, and prints the results so far. The exit code is not 0 if
connections broke in the meantime: a hub closes connections that do not keep up.

A Node.js hub never frees all the memory of its old connections, and gets slower with
each run until it is restarted.`,
		Example: `  mesh bench
  mesh bench --publishers 10 --subscribers 500 --rate 20000 --duration 30s
  mesh bench --rate 0 --json | jq .latency_seconds.p99
  mesh bench --transports websocket,polling --addr localhost:7777`,
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			opts, err := f.options(logs)
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), opts, logs, cmd.OutOrStdout())
		},
	}
	set := cmd.Flags()
	f.register(set)
	set.IntVar(&f.publishers, "publishers", 1, "`N` connections emit")
	set.IntVar(&f.subscribers, "subscribers", 10, "`N` connections listen")
	set.Float64Var(&f.rate, "rate", 1000, "`EVENTS` a second, of all publishers together; 0: as fast as subscribers read")
	set.IntVar(&f.size, "size", 128, "size of each payload in `BYTES`")
	set.StringSliceVar(&f.transports, "transports", []string{loadgen.ByWebSocket},
		"`HOW` each connection is made: websocket, polling, or upgrade from polling to websocket; several, separated by commas, are used in turn")
	set.DurationVar(&f.duration, "duration", 10*time.Second, "emit for this `TIME`, such as 30s or 5m")
	set.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *benchFlags) check() error {
	rate, deliveries := strconv.FormatFloat(f.rate, 'f', -1, 64), f.rate*float64(f.subscribers)
	switch {
	case f.publishers < 1 || f.publishers > maxPublishers:
		return fmt.Errorf("--publishers %d: take 1 to %d", f.publishers, maxPublishers)
	case f.subscribers < 1 || f.subscribers > maxSubscribers:
		return fmt.Errorf("--subscribers %d: take 1 to %d", f.subscribers, maxSubscribers)
	case !(f.rate >= 0 && f.rate <= maxRate): // NaN is invalid too
		return fmt.Errorf("--rate %s: take up to %d events a second, or 0 for as fast as subscribers read", rate, maxRate)
	case f.size < minSize || f.size > maxSize:
		return fmt.Errorf("--size %d: take %d to %d bytes", f.size, minSize, maxSize)
	case f.duration < minDuration || f.duration > maxDuration:
		return fmt.Errorf("--duration %v: take %v to %v", f.duration, minDuration, maxDuration)
	case f.rate > 0 && f.rate*f.duration.Seconds() < 1:
		return fmt.Errorf("--rate %s: this is less than one event in %v", rate, f.duration)
	case deliveries > maxDeliveries:
		return fmt.Errorf("--rate %s to %d subscribers is %.0f deliveries a second: take at most %d", rate, f.subscribers, deliveries, maxDeliveries)
	case deliveries*float64(f.size) > maxTraffic:
		return fmt.Errorf("--rate %s of %d bytes to %d subscribers is %.0f GB a second: take at most %d",
			rate, f.size, f.subscribers, deliveries*float64(f.size)/1e9, int(maxTraffic/1e9))
	case len(f.transports) == 0:
		return errors.New("--transports: name at least one: websocket, polling or upgrade")
	}
	for _, t := range f.transports {
		if !slices.Contains([]string{loadgen.ByWebSocket, loadgen.ByPolling, loadgen.ByUpgrade}, t) {
			return fmt.Errorf("--transports %q: choose among websocket, polling and upgrade, separated by commas", t)
		}
	}
	return nil
}

func (f *benchFlags) run(ctx context.Context, opts *mesh.Options, logs *logFlags, out io.Writer) error {
	target, legacy, err := findHub(ctx, opts)
	if err != nil {
		return err
	}
	p := newPackets(f.size, opts, legacy)
	o := loadgen.TrafficOptions{
		Publishers: f.publishers, Subscribers: f.subscribers, Transports: f.transports,
		First: p.first, Append: p.append, Number: p.number,
		Rate: f.rate, Duration: f.duration,
	}
	name := "the hub"
	if legacy {
		name, o.Ahead = "the Node.js hub", aheadOfLegacyHub
	}
	logs.notice(fmt.Sprintf("load on %s at %s, for %v; Ctrl-C ends it", name, target.Host, f.duration))
	bar := newBar(logs, f)
	o.Progress = bar.show
	r, err := loadgen.Traffic(ctx, target, o)
	bar.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted before all connections were open")
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "loadgen: "))
	}
	report := f.report(target, legacy, ctx.Err() != nil, r)
	if err := report.write(out, f.json); err != nil {
		return err
	}
	if r.Ended > 0 {
		return fmt.Errorf("%d of %d connections broke (the first: %w): the hub closes connections that do not keep up; use a lower --rate",
			r.Ended, f.publishers+f.subscribers, r.EndedBy)
	}
	return nil
}

// findHub connects once as a node, to check that the hub runs and admits these credentials, and whether it is a Node.js
// hub.
func findHub(ctx context.Context, opts *mesh.Options) (t loadgen.Target, legacy bool, err error) {
	node, err := connect(ctx, opts)
	if err != nil {
		return t, false, err
	}
	defer func() { _ = node.Close() }()
	info, _ := node.Hub()
	u, err := url.Parse(node.URL())
	if err != nil {
		return t, false, err
	}
	t = loadgen.Target{Host: u.Host, Path: u.Path, Revision: 3, Token: opts.Token}
	if u.Scheme == "https" {
		t.TLS, err = trust(opts.CAFile)
	}
	return t, info.Legacy, err
}

// trust returns the TLS configuration of the load. It trusts the same certificates as the node that has just connected.
func trust(caFile string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	conf.RootCAs.AppendCertsFromPEM(pem) // the node found at least one in it
	return conf, nil
}

// packets builds the messages that a load sends to a hub.
type packets struct {
	subscribe, publish string // the first message of a subscriber and of a publisher
	head, tail         string // of an event: before the time, and after the payload
	size               int    // of the payload, in bytes
}

// The parts of a payload before and after its time, and at its end.
const (
	payloadHead = `{"t":`
	payloadFill = `,"x":"`
	payloadTail = `"}`
)

func newPackets(size int, opts *mesh.Options, legacy bool) *packets {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	event := "bench-" + hex.EncodeToString(id[:])
	auth := struct {
		User     string `json:"user,omitempty"`
		Password string `json:"password,omitempty"`
	}{opts.User, opts.Password}
	credentials, _ := json.Marshal(map[string]any{"auth": auth}) // strings cannot fail
	headers := `,"headers":` + string(credentials)
	p := &packets{
		subscribe: `{"event":"handshake","payload":{},"eventTable":{"mesh::` + event + `":{"remote":true}}` + headers + `}`,
		publish:   `{"event":"handshake","payload":{},"eventTable":{}` + headers + `}`,
		head:      `{"event":"` + event + `","payload":` + payloadHead,
		tail:      `}`,
		size:      size,
	}
	if legacy {
		p.tail = headers + `}` // a Node.js hub needs them in every packet
	}
	return p
}

func (p *packets) first(subscriber bool) string {
	if subscriber {
		return p.subscribe
	}
	return p.publish
}

func (p *packets) append(dst []byte, number int64) []byte {
	dst = append(dst, p.head...)
	begin := len(dst) - len(payloadHead)
	dst = strconv.AppendInt(dst, number, 10)
	dst = append(dst, payloadFill...)
	for len(dst)-begin < p.size-len(payloadTail) {
		dst = append(dst, 'x')
	}
	return append(append(dst, payloadTail...), p.tail...)
}

func (p *packets) number(text []byte) (int64, bool) {
	rest, ok := bytes.CutPrefix(text, []byte(p.head))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(payloadFill))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, ok && err == nil
}

// bar shows the progress of a load on a terminal.
type bar struct {
	*progressbar.ProgressBar // nil if standard error is not a terminal
	terminal                 int
	all                      int
	total                    time.Duration
}

func newBar(logs *logFlags, f *benchFlags) *bar {
	b := &bar{all: f.publishers + f.subscribers, total: f.duration}
	if w, ok := logs.stderr.w.(*os.File); ok && term.IsTerminal(int(w.Fd())) && logs.format != "json" {
		b.terminal = int(w.Fd())
		b.ProgressBar = progressbar.NewOptions64(f.duration.Milliseconds(),
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.ThemeASCII),
		)
	}
	return b
}

func (b *bar) show(p loadgen.TrafficProgress) {
	switch {
	case b.ProgressBar == nil:
	case p.Elapsed == 0:
		b.describe("connecting: %s of %s", grouped(p.Open), grouped(b.all))
	case p.Elapsed < b.total:
		b.describe("%v of %v, %s sent, %s received", p.Elapsed.Truncate(time.Second), b.total, grouped(p.Sent), grouped(p.Received))
		_ = b.Set64(p.Elapsed.Milliseconds()) // an error means only that the bar was not drawn
	default:
		b.describe("waiting for the rest, %s sent, %s received", grouped(p.Sent), grouped(p.Received))
	}
}

// barWidth is the width of the bar itself. barFrame is the width of the percentage and the brackets beside it.
const barWidth, barFrame = 16, 11

// describe writes the text after the bar, as much of it as the line holds.
func (b *bar) describe(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if width, _, err := term.GetSize(b.terminal); err == nil {
		text = text[:min(len(text), max(0, width-barWidth-barFrame))]
	}
	b.Describe(text)
}

func (b *bar) end() {
	if b.ProgressBar != nil {
		_ = b.Finish() // clears the line
	}
}

// benchReport is the result of a load.
type benchReport struct {
	Hub         string   `json:"hub"` // go or node
	Address     string   `json:"address"`
	Publishers  int      `json:"publishers"`
	Subscribers int      `json:"subscribers"`
	Transports  []string `json:"transports"`
	Size        int      `json:"size_bytes"`
	Rate        float64  `json:"rate"` // the requested rate; 0: as fast as subscribers take them
	Seconds     float64  `json:"seconds"`
	Interrupted bool     `json:"interrupted"`

	Sent              int     `json:"sent"`
	SentPerSecond     float64 `json:"sent_per_second"`
	Received          int     `json:"received"`
	ReceivedPerSecond float64 `json:"received_per_second"`
	Missing           int     `json:"missing"` // deliveries that did not arrive, or not before the interruption
	Broken            int     `json:"broken_connections"`

	Latency struct {
		P50 float64 `json:"p50"`
		P90 float64 `json:"p90"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"latency_seconds"`
}

func (f *benchFlags) report(t loadgen.Target, legacy, interrupted bool, r loadgen.TrafficResult) *benchReport {
	b := &benchReport{
		Hub: "go", Address: t.Host, Publishers: f.publishers, Subscribers: f.subscribers, Transports: f.transports,
		Size: f.size, Rate: f.rate, Seconds: r.Sending.Seconds(), Interrupted: interrupted,
		Sent: r.Sent, SentPerSecond: perSecond(r.Sent, r.Sending),
		Received: r.Received, ReceivedPerSecond: perSecond(r.Received, r.Elapsed),
		Missing: max(r.Sent*f.subscribers-r.Received, 0), Broken: r.Ended,
	}
	if legacy {
		b.Hub = "node"
	}
	b.Latency.P50, b.Latency.P90, b.Latency.P99, b.Latency.Max = r.P50.Seconds(), r.P90.Seconds(), r.P99.Seconds(), r.Max.Seconds()
	return b
}

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func (r *benchReport) write(out io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }
	row("", "events", "a second")
	row("sent", grouped(r.Sent), grouped(int(r.SentPerSecond+0.5)))
	row("received", grouped(r.Received), grouped(int(r.ReceivedPerSecond+0.5)))
	if r.Interrupted {
		row("under way", grouped(r.Missing), "")
	} else {
		row("missing", grouped(r.Missing), "")
	}
	_ = w.Flush() // to memory
	_, _ = fmt.Fprintln(&b)
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row("", "p50", "p90", "p99", "max")
	row("latency", milliseconds(r.Latency.P50), milliseconds(r.Latency.P90), milliseconds(r.Latency.P99), milliseconds(r.Latency.Max))
	_ = w.Flush() // as above
	_, err := out.Write(b.Bytes())
	return err
}

func milliseconds(seconds float64) string {
	ms := seconds * 1000
	digits := 2
	if ms >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(ms, 'f', digits, 64) + " ms"
}

// grouped writes a number with commas between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
