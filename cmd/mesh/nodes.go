package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
)

func nodesCommand(logs *logFlags) *cobra.Command {
	var f nodeFlags
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "nodes [--watch] [--json]",
		Short: "List the nodes of a mesh",
		Long: `Ask a hub for the nodes of its mesh, and print the hub and its clients: browsers and
Node.js clients too, but not this command. A client that the hub has not admitted
is muted: it receives no events, and the hub drops its events.

IDs are shown by their first 8 digits, which is enough for 'mesh explain'. --json
prints everything, one node a line.

If hubs have joined each other, it prints the nodes of all of them, and the hub of
each node; the hub that replies comes first.

With --watch it continues, and prints each node that joins (+) or leaves (-), until it
is interrupted; with --json each line is then {"joined":true,"node":{…}}. The clients
of a departing hub are not listed one by one. When the hub returns, they are.

A Node.js hub does not list the nodes of its mesh.`,
		Example: `  mesh nodes
  mesh nodes --json | jq .interests
  mesh nodes --watch --addr localhost:7777`,
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.withNode(cmd.Context(), logs, func(ctx context.Context, node *mesh.Node) error {
				out := nodePrinter{out: cmd.OutOrStdout(), json: asJSON, now: time.Now}
				if watch {
					return watchNodes(ctx, node, &out, logs)
				}
				all, err := otherNodes(ctx, node)
				if err != nil {
					return err
				}
				return out.list(all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	cmd.Flags().BoolVar(&watch, "watch", false, "continue, and print nodes that join or leave")
	f.register(cmd.Flags())
	return cmd
}

// otherNodes asks for the nodes of a mesh and leaves out the node n.
func otherNodes(ctx context.Context, n *mesh.Node) ([]mesh.NodeInfo, error) {
	ctx, cancel := withAnswerTimeout(ctx)
	defer cancel()
	all, err := n.Nodes(ctx)
	return slices.DeleteFunc(all, func(i mesh.NodeInfo) bool { return i.ID == n.ID() }), err
}

// watchNodes prints the present nodes, and then each node that joins or leaves.
func watchNodes(ctx context.Context, n *mesh.Node, out *nodePrinter, logs *logFlags) error {
	changes := make(chan mesh.Presence, 1024)
	n.OnPresence(func(p mesh.Presence) {
		select {
		case changes <- p:
		case <-ctx.Done():
		}
	})
	reportState(n, logs)
	all, err := otherNodes(ctx, n)
	if err == nil {
		err = out.printFirst(all)
	}
	present := make(presentNodes)
	for _, i := range all {
		present.update(mesh.Presence{Joined: true, Node: i})
	}
	for err == nil {
		select {
		case p := <-changes:
			if p.Node.ID == n.ID() {
				continue
			}
			present.update(p)
			err = out.printChange(p)
			if err == nil && p.Joined && p.Node.Role == mesh.RoleHub {
				err = present.printMissed(ctx, n, out, logs)
			}
		case <-ctx.Done():
			return nil
		}
	}
	return err
}

// presentNodes holds the ID of each present node and the ID of the hub that it is connected to.
type presentNodes map[string]string

func (t presentNodes) update(p mesh.Presence) {
	id, hub := p.Node.ID, p.Node.Hub
	switch {
	case p.Joined:
		t[id] = hub
	case p.Node.Role == mesh.RoleHub: // and all its clients
		delete(t, id)
		maps.DeleteFunc(t, func(_, at string) bool { return at == id })
	case t[id] == hub: // unless it is at another hub by now
		delete(t, id)
	}
}

// printMissed prints the nodes that came with a hub: a hub that was lost and is back still has its clients.
func (t presentNodes) printMissed(ctx context.Context, n *mesh.Node, out *nodePrinter, logs *logFlags) error {
	all, err := otherNodes(ctx, n)
	if err != nil {
		if ctx.Err() == nil {
			logs.notice(fmt.Sprintf("the nodes that came with the hub are unknown: %v", shortReason(err)), "error", err.Error())
		}
		return nil
	}
	for _, i := range all {
		if _, is := t[i.ID]; is {
			continue
		}
		p := mesh.Presence{Joined: true, Node: i}
		t.update(p)
		if err := out.printChange(p); err != nil {
			return err
		}
	}
	return nil
}

// nodePrinter prints nodes, as a table or as JSON.
type nodePrinter struct {
	out  io.Writer
	json bool
	now  func() time.Time
	hubs map[string]string // the hubs' names, by ID
	// clockAhead is, by hub ID, the difference of this machine's clock to the hub's clock. A hub describes its nodes by
	// its own clock. The LastSeen of a hub is the time of that description.
	clockAhead map[string]time.Duration
}

// since returns the duration since the time t of a node, corrected for the difference of the two clocks.
func (p *nodePrinter) since(i mesh.NodeInfo, t time.Time) time.Duration {
	return p.now().Add(-p.clockAhead[cmp.Or(i.Hub, i.ID)]).Sub(t)
}

// noteHub records that a hub is there, or forgets it.
func (p *nodePrinter) noteHub(i mesh.NodeInfo, there bool) {
	switch {
	case i.Role != mesh.RoleHub:
	case there:
		if p.hubs == nil {
			p.hubs = make(map[string]string)
		}
		p.hubs[i.ID] = cmp.Or(displayName(i), short(i.ID))
		if p.clockAhead == nil {
			p.clockAhead = make(map[string]time.Duration)
		}
		p.clockAhead[i.ID] = p.now().Sub(i.LastSeen)
	default:
		delete(p.hubs, i.ID)
	}
}

// hubName returns the name of a client's hub if there are several hubs.
func (p *nodePrinter) hubName(i mesh.NodeInfo) string {
	if len(p.hubs) < 2 || i.Hub == "" {
		return ""
	}
	return cmp.Or(p.hubs[i.Hub], short(i.Hub))
}

// list prints the present nodes.
func (p *nodePrinter) list(all []mesh.NodeInfo) error {
	if !p.json {
		return p.table(all)
	}
	for _, i := range all {
		if err := p.encode(i); err != nil {
			return err
		}
	}
	return nil
}

// printFirst prints the present nodes at the start of a watch.
func (p *nodePrinter) printFirst(all []mesh.NodeInfo) error {
	if !p.json {
		return p.table(all)
	}
	for _, i := range all {
		if err := p.printChange(mesh.Presence{Joined: true, Node: i}); err != nil {
			return err
		}
	}
	return nil
}

// printChange prints that a node has joined or left.
func (p *nodePrinter) printChange(c mesh.Presence) error {
	if p.json {
		return p.encode(struct {
			Joined bool          `json:"joined"`
			Node   mesh.NodeInfo `json:"node"`
		}{c.Joined, c.Node})
	}
	i := c.Node
	p.noteHub(i, c.Joined)
	what := []string{"+", p.now().Format(time.TimeOnly), short(i.ID), displayName(i), printable(i.Addr)}
	if hub := p.hubName(i); hub != "" {
		what = append(what, "at "+hub)
	}
	if i.Role == mesh.RoleHub {
		what = slices.Insert(what, 2, string(mesh.RoleHub))
	}
	if !c.Joined {
		what[0] = "-"
		what = append(what, "after "+formatAge(p.since(i, i.Since)))
	} else if listens := interests(i); listens != "" {
		what = append(what, "listens to "+listens)
	}
	return p.write([]byte(strings.Join(slices.DeleteFunc(what, func(s string) bool { return s == "" }), " ") + "\n"))
}

func (p *nodePrinter) encode(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return p.write(b.Bytes())
}

// write prints lines with texts from the hub, which may contain any characters, even in an address.
func (p *nodePrinter) write(lines []byte) error {
	_, err := p.out.Write(escape(lines))
	return err
}

func (p *nodePrinter) table(all []mesh.NodeInfo) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, i := range all {
		p.noteHub(i, true)
	}
	row := func(hub string, columns ...string) {
		if len(p.hubs) > 1 {
			columns = slices.Insert(columns, 1, hub)
		}
		_, _ = fmt.Fprintln(w, strings.Join(columns, "\t")) // into memory
	}
	row("HUB", "ROLE", "ID", "NAME", "ADDRESS", "SESSION", "UP", "SEEN", "LISTENS TO")
	for _, i := range all {
		role := printable(string(i.Role))
		if i.Muted {
			role = "muted"
		}
		columns := []string{role, short(i.ID), displayName(i), printable(i.Addr), session(i), formatAge(p.since(i, i.Since)), formatAge(p.since(i, i.LastSeen)) + " ago", interests(i)}
		for n := range columns {
			columns[n] = cmp.Or(columns[n], "-")
		}
		row(cmp.Or(p.hubName(i), "-"), columns...)
	}
	_ = w.Flush()
	for line := range strings.Lines(b.String()) {
		if err := p.write([]byte(strings.TrimRight(line, " \n") + "\n")); err != nil {
			return err
		}
	}
	return nil
}

// shortID is the number of digits of an ID that people see.
const shortID = 8

func short(id string) string { return printable(id[:min(shortID, len(id))]) }

func displayName(i mesh.NodeInfo) string { return printable(i.Name) }

// session describes a client's session. Stock clients and clients of the original are marked as plain.
func session(i mesh.NodeInfo) string {
	if i.Role == mesh.RoleHub {
		return ""
	}
	s := fmt.Sprintf("%s/%d", i.Transport, i.Revision)
	if !i.Negotiated {
		s += " (plain)"
	}
	return printable(s)
}

// maxShownInterests bounds the number of interests that people see.
const maxShownInterests = 5

func interests(i mesh.NodeInfo) string {
	shown := i.Interests[:min(maxShownInterests, len(i.Interests))]
	var b strings.Builder
	for n, name := range shown {
		if n > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(printable(name))
	}
	if more := len(i.Interests) - len(shown) + i.More; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// printable quotes a name that a terminal does not show as it is, or that looks quoted itself: nodes choose their
// names.
func printable(s string) string {
	if strings.ContainsFunc(s, isControl) || strings.ContainsAny(s, " \n\t\"\\") {
		return strconv.Quote(s)
	}
	return s
}

// formatAge writes a duration in at most two parts: 5s, 3m20s, 2h5m, 3d4h.
func formatAge(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

var errAmbiguous = errors.New("ambiguous")

// findNode returns the node that the user names: by its ID, a prefix of the ID, its name, or "hub". "hub" means the hub
// that has replied, which is the first in all.
func findNode(all []mesh.NodeInfo, who string) (mesh.NodeInfo, error) {
	var found []mesh.NodeInfo
	for n, i := range all {
		switch {
		case i.ID == who:
			return i, nil
		case slices.ContainsFunc(found, func(f mesh.NodeInfo) bool { return f.ID == i.ID }): // the same node, which moves from hub to hub
		case i.Name == who, who == "hub" && n == 0 && i.Role == mesh.RoleHub, len(who) >= 4 && strings.HasPrefix(i.ID, who):
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return mesh.NodeInfo{}, fmt.Errorf("there is no node %q in this mesh: 'mesh nodes' lists the nodes", who)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, i := range found {
		ids = append(ids, i.ID)
	}
	return mesh.NodeInfo{}, fmt.Errorf("%q is %w: give the ID of one of them: %s", who, errAmbiguous, strings.Join(ids[:min(len(ids), 10)], " "))
}
