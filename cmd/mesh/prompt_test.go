package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// terminal is a real terminal that runs a shell.
type terminal struct {
	t      *testing.T
	socket string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	interoptest.Need(t, "tmux")
	w := &terminal{t: t, socket: filepath.Join(t.TempDir(), "s")}
	w.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", "env", "PS1=shell> ", "sh")
	t.Cleanup(func() { w.tmux("kill-server") })
	w.shows("shell>")
	return w
}

func (w *terminal) tmux(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...).CombinedOutput()
	require.NoError(w.t, err, "tmux %v: %s", args, out)
	return string(out)
}

// types presses keys: those of a text, and others by their names.
func (w *terminal) types(text string, keys ...string) {
	w.t.Helper()
	if text != "" {
		w.tmux("send-keys", "-l", text)
	}
	if len(keys) > 0 {
		w.tmux(append([]string{"send-keys"}, keys...)...)
	}
}

// shows waits until the screen has all the parts and its last non-empty line has this end. It returns the screen.
func (w *terminal) shows(end string, parts ...string) string {
	w.t.Helper()
	var screen string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		screen = strings.TrimRight(w.tmux("capture-pane", "-p", "-J"), " \n")
		if strings.HasSuffix(screen, strings.TrimRight(end, " ")) && all(screen, parts) {
			return screen
		}
	}
	require.Fail(w.t, fmt.Sprintf("the screen does not show %q and, at its end, %q", parts, end), screen)
	return ""
}

// hubIn returns the URL of the hub in the text of a screen.
func hubIn(screen string) string {
	_, url, _ := strings.Cut(screen, "this node is the hub, at ")
	url, _, _ = strings.Cut(url, " ")
	return url
}

func TestPrompt(t *testing.T) {
	w := newTerminal(t)
	w.types(binary+" start --addr 127.0.0.1:0", "Enter")
	addr := hubIn(w.shows("help lists the commands\nmesh>"))

	w.types("help", "Enter")
	require.Contains(t, w.shows("earlier lines.\nmesh>"), "\nemit EVENT [JSON] ")

	w.types("on greeting 'sensor::*'", "Enter")
	w.types(`emit greeting '{"n":1}'`, "Enter")
	w.shows(`"}` + "\nmesh>")
	require.Equal(t, 1, strings.Count(w.shows("mesh>"), `{"event":"greeting","payload":{"n":1},"from":"`))

	// The prompt prints events above the line that the user types.
	w.types(`emit greeting {"half":`)
	w.shows(`mesh> emit greeting {"half":`)
	_, stderr, code := execute(t, nil, "emit", "--addr", addr, "sensor::7", "21.5")
	require.Zero(t, code, stderr)
	w.shows("\n"+`mesh> emit greeting {"half":`, `{"event":"sensor::7","payload":21.5,`)
	w.types("true}", "Enter")
	w.shows("mesh>", `{"event":"greeting","payload":{"half":true},`)

	// Completion of commands, and of the names of received events.
	w.types("em", "Tab")
	w.shows("mesh> emit")
	w.types("sen", "Tab")
	w.types("22", "Enter")
	w.shows("mesh>", `{"event":"sensor::7","payload":22,`)
	w.types("o", "Tab")
	require.Contains(t, w.shows("off  on\nmesh> o"), "off  on")
	w.types("ff greeting", "Enter")
	w.types("events", "Enter")
	w.shows("printed: sensor::*\nheard:   greeting (2)\nheard:   sensor::7 (2)\nmesh>")

	// The other nodes and their subscriptions.
	other := spawn(t, nil, "on", "--addr", addr, "alarm::fire")
	other.says("listening to")
	w.types("nodes", "Enter")
	w.shows("mesh>", "alarm::fire")
	w.types("emit al", "Tab")
	w.shows("mesh> emit alarm::fire")
	w.types("", "C-u")
	w.types("events", "Enter")

	// History, and errors that suggest a remedy.
	w.shows("heard:   sensor::7 (2)\nmesh>")
	w.types("off greeting", "Enter")
	w.shows("greeting was not given to on; events lists the names that were\nmesh>")
	w.types("", "Up", "Enter")
	w.shows("greeting was not given to on; events lists the names that were\nmesh>")
	w.types("emit x {bad}", "Enter")
	require.Contains(t, w.shows("^\nmesh>"), "bad JSON at byte 2")
	w.types("frobnicate", "Enter")
	w.shows(`unknown command "frobnicate": help lists the commands` + "\nmesh>")

	w.types("", "C-c")
	w.shows("shell>")
	w.types("echo 'code' $?; stty -a | grep -ow -e -echo", "Enter")
	w.shows("code 0\nshell>")
}

// A node in the background of a shell, or with its output in a pipe, has no prompt.
func TestNoPromptInTheBackground(t *testing.T) {
	w := newTerminal(t)
	w.types(binary+" start --addr 127.0.0.1:0 --on x & wait", "Enter")
	addr := hubIn(w.shows(")"))
	_, stderr, code := execute(t, nil, "emit", "--addr", addr, "x")
	require.Zero(t, code, stderr)
	w.shows(`"}`)
	w.types("", "C-c")
	w.types("kill -INT $!; wait", "Enter")
	w.types("clear; "+binary+" start --addr 127.0.0.1:0 | cat", "Enter")
	require.NotContains(t, w.shows(")"), "mesh> ")
	w.types("", "C-c")
	require.NotContains(t, w.shows("shell>"), "mesh> ")
}
