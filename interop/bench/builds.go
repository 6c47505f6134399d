package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// besides returns the scenarios with another build of this program, in the file exe, in place of the foreign peers. Both
// builds take turns in each run, so that a change of a few percent shows on a noisy machine.
func besides(exe string, all []scenario) ([]scenario, error) {
	exe, err := filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(exe); err != nil {
		return nil, fmt.Errorf("--before: %w; build it from the other commit: go build -o FILE ./interop/bench", err)
	}
	before := func(s *server) *server {
		return &server{name: "before", ours: true, revision: s.revision, command: func(ctx context.Context, k kind, heartbeat time.Duration) (*exec.Cmd, string, error) {
			cmd, line, err := s.command(ctx, k, heartbeat)
			if err == nil {
				cmd.Path, cmd.Args[0] = exe, exe
			}
			return cmd, line, err
		}}
	}
	others := map[*server]*server{ours: before(ours), ourHub: before(ourHub)}
	for i, s := range all {
		var loads []load
		for _, l := range s.loads {
			if j := slices.IndexFunc(l.servers, func(srv *server) bool { return others[srv] != nil }); j >= 0 {
				l.servers = []*server{l.servers[j], others[l.servers[j]]}
				loads = append(loads, l)
			}
		}
		all[i].loads = loads
	}
	return all, nil
}

// compareBuilds returns one line for each load: the median of the ratios of this build to the build before, run by run.
func (r *report) compareBuilds() []string {
	var lines []string
	for _, s := range r.Scenarios {
		for i := 0; i+1 < len(s.Rows); i += 2 {
			now, before := s.Rows[i], s.Rows[i+1]
			name := s.Name
			if now.Load != "" {
				name += ", " + now.Load
			}
			var ratios []string
			for _, c := range s.columns {
				if c.head != colDeliveries.head {
					ratios = append(ratios, fmt.Sprintf("%s %s times", c.head, pairs(now, before, c.figure)))
				}
			}
			lines = append(lines, name+": "+strings.Join(ratios, ", ")+" the build before")
		}
	}
	return lines
}
