package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// desk has real terminals, in which shells run. The shells and their programs end with the test.
type desk struct {
	socket string
	env    []string // of the shells
	dir    string   // where they start
	opened int
	typed  int // commands of runs
}

func newDesk(t *testing.T, dir string, env ...string) *desk {
	t.Helper()
	interoptest.Need(t, "tmux")
	return &desk{socket: filepath.Join(t.TempDir(), "s"), env: append(env, "PS1=$ "), dir: dir}
}

func (d *desk) tmux(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", d.socket}, args...)...).CombinedOutput()
	require.NoError(t, err, "tmux %v: %s", args, out)
	return string(out)
}

// terminal is a terminal of a desk.
type terminal struct {
	*desk
	name string
}

// open opens a terminal. setup is a line for its shell.
func (d *desk) open(t *testing.T, setup string) terminal {
	t.Helper()
	d.opened++
	w := terminal{d, fmt.Sprintf("w%d", d.opened)}
	args := []string{"-d", "-n", w.name, "-c", d.dir, "env"}
	args = append(append(args, d.env...), "sh")
	if d.opened == 1 {
		d.tmux(t, append([]string{"-f", "/dev/null", "new-session", "-x", "250", "-y", "60"}, args...)...)
		t.Cleanup(func() {
			if t.Failed() {
				for i := range d.opened {
					w := terminal{d, fmt.Sprintf("w%d", i+1)}
					t.Logf("terminal %d:\n%s", i+1, strings.TrimRight(w.screen(t), "\n"))
				}
			}
			d.tmux(t, "kill-server")
		})
	} else {
		d.tmux(t, append([]string{"new-window"}, args...)...)
	}
	w.types(t, setup+"; clear; echo ready") // an older prompt may be on the screen
	w.shows(t, `^ready$`, `^\$$`)
	return w
}

// types presses the keys of some text and Enter.
func (w terminal) types(t *testing.T, text string) {
	t.Helper()
	w.tmux(t, "send-keys", "-t", w.name, "-l", text)
	w.tmux(t, "send-keys", "-t", w.name, "Enter")
}

// interrupt presses Ctrl-C.
func (w terminal) interrupt(t *testing.T) {
	t.Helper()
	w.tmux(t, "send-keys", "-t", w.name, "C-c")
}

func (w terminal) screen(t *testing.T) string {
	t.Helper()
	return w.tmux(t, "capture-pane", "-p", "-J", "-t", w.name)
}

// buildTimeout bounds the go command, which compiles and links, perhaps on a busy machine.
const buildTimeout = 5 * time.Minute

// shows waits until the screen has lines that match, one after the other.
func (w terminal) shows(t *testing.T, lines ...string) {
	t.Helper()
	w.showsWithin(t, AwaitTimeout, lines...)
}

func (w terminal) showsWithin(t *testing.T, patience time.Duration, lines ...string) {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)` + strings.Join(lines, `(?s:.*)`))
	var screen string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var trimmed []string // of the spaces at the ends of lines
		for line := range strings.Lines(w.screen(t)) {
			trimmed = append(trimmed, strings.TrimRight(line, " \n"))
		}
		screen = strings.TrimRight(strings.Join(trimmed, "\n"), "\n")
		if pattern.MatchString(screen) {
			return
		}
	}
	require.Fail(t, "a terminal does not show "+pattern.String(), screen)
}

// prints is like shows, for a block of a page. In the block … matches any text.
func (w terminal) prints(t *testing.T, block string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(block) {
		line = regexp.QuoteMeta(strings.TrimSuffix(line, "\n"))
		lines = append(lines, "^"+strings.ReplaceAll(line, "…", ".*")+"$")
	}
	w.shows(t, lines...)
}

// runs types commands one after the other. It waits until each command has ended.
func (w terminal) runs(t *testing.T, commands string) {
	t.Helper()
	for command := range strings.Lines(commands) {
		w.typed++ // the output of the previous command may still be on the screen
		w.types(t, fmt.Sprintf("clear; %s; echo code $?; echo end of %d", strings.TrimSpace(command), w.typed))
		w.showsWithin(t, buildTimeout, `^code \d+$`, fmt.Sprintf("^end of %d$", w.typed)) // some commands build
	}
}

// pathWith returns the environment's PATH with a folder in front.
func pathWith(dir string) string {
	return "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
}
