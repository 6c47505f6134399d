package main

import (
	"context"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// machine describes the machine and its software, because the figures depend on them. Unknown fields are empty.
type machine struct {
	Date      time.Time `json:"date"`
	Commit    string    `json:"commit,omitempty"`
	CPU       string    `json:"cpu,omitempty"`
	Cores     int       `json:"cores"` // that this process may use
	MemoryGB  float64   `json:"memory_gb,omitempty"`
	OS        string    `json:"os"`
	Kernel    string    `json:"kernel,omitempty"`
	Arch      string    `json:"arch"`
	Go        string    `json:"go"`
	Node      string    `json:"node,omitempty"`
	OpenFiles int       `json:"open_files"` // the limit for each process
}

func describeMachine(ctx context.Context, fileLimit int) machine {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	m := machine{
		Date:      time.Now().Truncate(time.Second),
		Commit:    commit(ctx),
		Cores:     runtime.NumCPU(),
		OS:        runtime.GOOS,
		Arch:      runtime.GOARCH,
		Go:        strings.TrimPrefix(runtime.Version(), "go"),
		Node:      strings.TrimPrefix(output(ctx, "node", "--version"), "v"),
		OpenFiles: fileLimit,
	}
	if infos, err := cpu.InfoWithContext(ctx); err == nil && len(infos) > 0 {
		m.CPU = strings.Join(strings.Fields(infos[0].ModelName), " ")
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		m.MemoryGB = float64(v.Total>>20) / (1 << 10)
	}
	if platform, _, version, err := host.PlatformInformationWithContext(ctx); err == nil && platform != "" {
		m.OS = strings.TrimSpace(platform + " " + version)
	}
	if v, err := host.KernelVersionWithContext(ctx); err == nil {
		m.Kernel = v
	}
	return m
}

// commit returns the commit of the working directory, with a mark if tracked files differ from it.
func commit(ctx context.Context) string {
	c := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if c != "" && output(ctx, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		c += ", modified"
	}
	return c
}

// output returns the output of a program, or an empty string if the program is missing or fails.
func output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
