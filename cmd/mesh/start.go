package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
)

// startFunc is mesh.Start, mesh.Listen or mesh.Connect.
type startFunc func(context.Context, *mesh.Options) (*mesh.Node, error)

const runText = `

It prints the events of --on, one JSON object a line, as 'mesh on' does. It emits the
event of --emit, at once and then once per --every. It also receives its own events.
On a terminal it has a prompt to emit and to subscribe: help lists the commands.
It runs until it is interrupted.`

func startCommand(logs *logFlags) *cobra.Command {
	return runCommand(logs, mesh.Start, &cobra.Command{
		Use:   "start",
		Short: "Run a node: the hub if the address is free, else a client of the hub there",
		Long: "Run a node: the hub if the address is free, else a client of the hub there. The\nfirst line on standard error gives its role and the hub's address. When the hub dies,\n" +
			"one of the nodes on its machine that were started like this becomes the hub, and\nthe others find it: give all of them the same user and password.\n\n" +
			"Of several addresses, the first is the node's own, at which it may become the hub.\nThe others are addresses of other hubs of the same mesh, which it tries before that.\n\n" +
			"--cluster and --nats apply when the node is the hub: see 'mesh listen --help'." + runText,
		Example: `  mesh start --on myEvent --emit myEvent --data '{"n":1}' --every 1s
  mesh start --addr localhost:7777 --on '**'
  MESH_PASSWORD=secret mesh start --user ann`,
	})
}

func listenCommand(logs *logFlags) *cobra.Command {
	return runCommand(logs, mesh.Listen, &cobra.Command{
		Use:   "listen",
		Short: "Run a hub",
		Long:  "Run a hub, at an address that must be free. It admits every client that can\nreach it, or, with --user and a password, the clients that present the same.\nIt responds to GET /healthz with 200 while it serves, and to GET /readyz with 200\nwhile it is ready for more clients.\n\n" + clusterText + runText,
		Example: `  mesh listen
  mesh listen --addr 0.0.0.0:8888 --user ann --password-file password.txt
  mesh listen --metrics /metrics
  mesh listen --addr localhost:8881 --cluster localhost:6221,localhost:6222`,
	})
}

const clusterText = `With --cluster it joins other hubs into one mesh: events from one hub reach the
subscribers at the others. In --cluster, each hub lists its own address first. On the
machines one, two and three:

    mesh listen --addr 0.0.0.0:8888 --cluster one:6222,two:6222,three:6222 --cluster-secret-file secret.txt
    mesh listen --addr 0.0.0.0:8888 --cluster two:6222,one:6222,three:6222 --cluster-secret-file secret.txt
    mesh listen --addr 0.0.0.0:8888 --cluster three:6222,one:6222,two:6222 --cluster-secret-file secret.txt

The file is the same on all of them: 'openssl rand -hex 32 > secret.txt' makes one,
and 'chmod 600 secret.txt' keeps it from other users.
Hubs encrypt their traffic with keys derived from the secret, and need no
certificates. They reject hubs with another secret.
Without a secret all addresses must be of this machine (localhost), and the traffic
is not encrypted. --nats joins hubs through an existing NATS server instead, with the
certificates of --ca if its URL begins with tls. A hub starts without the others, and
serves its clients; it joins the others when they are there.`

func connectCommand(logs *logFlags) *cobra.Command {
	return runCommand(logs, mesh.Connect, &cobra.Command{
		Use:   "connect",
		Short: "Run a client",
		Long:  "Run a client of a hub, which must be running. If the hub goes away later, the client\nwaits for it to return, or moves to another hub if --addr has several addresses. It\nalso moves when its hub is about to close. A URL must contain the path of the hub's\nEngine.IO if it is not /engine.io/: a wrong path crashes a Node.js hub." + runText,
		Example: `  mesh connect --on greeting
  mesh connect --addr one.example.com:8888,two.example.com:8888 --on greeting
  mesh connect --addr https://example.com/chat/engine.io/ --user ann --password-file password.txt`,
	})
}

// runFlags holds the flags of the commands that run a node.
type runFlags struct {
	nodeFlags
	cluster    clusterFlags
	metrics    metricsFlags
	noPage     bool
	on         []string
	emit, data string
	every      time.Duration
	payload    json.RawMessage
}

func runCommand(logs *logFlags, start startFunc, cmd *cobra.Command) *cobra.Command {
	var f runFlags
	name := cmd.Use
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd.Flags().Changed); err != nil {
			return err
		}
		opts, err := f.options(logs)
		if err != nil {
			return err
		}
		if name == "listen" && strings.Contains(f.addr, ",") {
			return fmt.Errorf("--addr %s: a hub has one address; 'mesh start' and clients take several: 'mesh connect', 'mesh on', 'mesh emit'", f.addr)
		}
		if name != "connect" && f.certFile == "" && (strings.HasPrefix(f.addr, "https://") || strings.HasPrefix(f.addr, "wss://")) {
			return fmt.Errorf("--addr %s: a hub needs --cert and --key for TLS; or let it listen on http:// behind a proxy with TLS; 'mesh connect' takes https://", f.addr)
		}
		if name != "connect" {
			if opts.Backplane, err = f.cluster.backplane(cmd.Context(), opts, logs); err != nil {
				return err
			}
		}
		opts.Page = !f.noPage
		if err := f.metrics.prepare(cmd.Context(), opts); err != nil {
			return err
		}
		defer f.metrics.close()
		return f.run(cmd, start, opts, logs)
	}
	f.register(cmd.Flags())
	if name != "connect" {
		f.registerHub(cmd.Flags())
	}
	cmd.Flags().StringArrayVar(&f.on, "on", nil, "print the events called `EVENT`, which may be a pattern; may be repeated")
	cmd.Flags().StringVar(&f.emit, "emit", "", "emit `EVENT` at once and then repeatedly")
	cmd.Flags().StringVar(&f.data, "data", "", "payload of the event of --emit, as `JSON` (default: none)")
	cmd.Flags().DurationVar(&f.every, "every", time.Second, "emit every `TIME`, such as 250ms or 1m")
	f.metrics.register(cmd.Flags(), name)
	if name != "connect" {
		f.cluster.register(cmd.Flags())
		cmd.Flags().BoolVar(&f.noPage, "no-page", false, "do not serve the page that shows the mesh, at / of the hub")
	}
	return cmd
}

func (f *runFlags) check(given func(flag string) bool) error {
	if err := checkPatterns("--on: ", f.on); err != nil {
		return err
	}
	for flag, value := range map[string]string{
		"cluster": f.cluster.cluster, "cluster-secret-file": f.cluster.secretFile, "nats": f.cluster.nats, "nats-creds": f.cluster.credsFile,
	} {
		if given(flag) && value == "" { // perhaps from an unset variable: the hub would be alone, or without a secret
			return fmt.Errorf("--%s is empty: give it a value, or leave it out", flag)
		}
	}
	if !given("emit") {
		for _, flag := range []string{"data", "every"} {
			if given(flag) {
				return fmt.Errorf("--%s needs an event to emit: give --emit EVENT too", flag)
			}
		}
		return nil
	}
	if f.every <= 0 {
		return fmt.Errorf("--every %v: it must be longer than 0s", f.every)
	}
	var err error
	if _, err = parseEvent(f.emit, "", false); err != nil {
		return fmt.Errorf("--emit: %w", err)
	}
	if f.payload, err = parseEvent(f.emit, f.data, given("data")); err != nil {
		return fmt.Errorf("--data: %w", withQuotingHint(err))
	}
	return nil
}

func (f *runFlags) run(cmd *cobra.Command, start startFunc, opts *mesh.Options, logs *logFlags) error {
	ctx := cmd.Context()
	bound, cancel := withAnswerTimeout(ctx)
	node, err := start(bound, opts)
	cancel()
	if err != nil {
		return unlessInterrupted(ctx, friendlyError(err, opts))
	}
	defer closeNode(node)

	failed := make(chan error, 1)
	events := &printer{out: cmd.OutOrStdout()}
	typed, err := openPrompt(node, cmd.InOrStdin(), cmd.OutOrStdout(), logs)
	if err != nil {
		return err
	}
	defer typed.close()
	if typed != nil {
		events.out = typed
	}
	events.printed = func(e mesh.Event, err error) {
		if err != nil {
			_ = node.Close()
			failed <- err
		}
		typed.countEvent(e.Name)
	}
	for _, pattern := range f.on {
		events.on(node, pattern)
	}
	reportState(node, logs)
	if err := awaitSubscribed(ctx, node); err != nil {
		return unlessInterrupted(ctx, friendlyError(err, opts))
	}
	printIdentity(node, logs)
	warnOpenHub(node, opts, logs)
	defer f.metrics.serve(ctx, node, opts, logs)()
	ended := typed.start(events)

	var tick <-chan time.Time
	if f.emit != "" {
		ticker := time.NewTicker(f.every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if f.emit != "" {
			if err := node.Emit(f.emit, f.payload); err != nil && !errors.Is(err, mesh.ErrClosed) {
				opts.Logger.Warn("event not sent", "event", f.emit, "error", err)
			}
		}
		select {
		case <-tick:
		case err := <-failed:
			return err
		case err := <-ended:
			return err
		case <-node.Done():
			return unlessInterrupted(ctx, node.Err())
		case <-ctx.Done():
			shutDown(ctx, node, logs)
			return nil
		}
	}
}

// shutdownTimeout bounds how long a terminated hub waits for its clients to move to other hubs.
const shutdownTimeout = 10 * time.Second

// shutDown lets a hub that SIGTERM ended move its clients to other hubs. Every other node ends at once.
func shutDown(ctx context.Context, node *mesh.Node, logs *logFlags) {
	if node.Role() != mesh.RoleHub || !errors.Is(context.Cause(ctx), errTerminated) {
		return
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := node.Shutdown(bound); errors.Is(err, context.DeadlineExceeded) {
		logs.notice(fmt.Sprintf("some clients have not moved to another hub within %v: they are disconnected", shutdownTimeout))
	}
}
