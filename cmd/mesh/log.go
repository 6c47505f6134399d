package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// logFlags decides the form of standard error. There are three kinds of output: log records, from the level of
// --log-level on; notices about the progress of the command, at any level; and at most one error at the end.
type logFlags struct {
	level, format string
	stderr        *stderr
}

// stderr is standard error, or the prompt in the same terminal.
type stderr struct {
	mu sync.Mutex
	w  io.Writer
}

func newStderr(w io.Writer) *stderr { return &stderr{w: w} }

func (s *stderr) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return writeEscaped(s.w, b)
}

// redirect makes s write to w instead, if its current target is a terminal. back restores the target.
func (s *stderr) redirect(w io.Writer) (back func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.w
	if f, ok := was.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	s.w = w
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.w = was
	}
}

func (f *logFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.level, "log-level", "warn", "log to standard error from `LEVEL` on: debug, info, warn or error")
	set.StringVar(&f.format, "log-format", "text", "write standard error as `FORMAT`: text or json")
}

func (f *logFlags) check() error {
	switch f.level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("--log-level %q: choose debug, info, warn or error", f.level)
	}
	switch f.format {
	case "text", "json":
	default:
		return fmt.Errorf("--log-format %q: choose text or json", f.format)
	}
	return nil
}

func (f *logFlags) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.level)) // check has validated it
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: withFlag}
	if f.format == "json" {
		return slog.New(slog.NewJSONHandler(f.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(f.stderr, opts))
}

var flagNames = strings.NewReplacer("AllowedOrigins", "--allow-origin", "TrustForwardedHost", "--trust-forwarded-host")

// withFlag replaces the name of a Go option in a record by the name of the flag that sets it.
func withFlag(_ []string, a slog.Attr) slog.Attr {
	if a.Key == "option" || a.Key == slog.MessageKey {
		a.Value = slog.StringValue(flagNames.Replace(a.Value.String()))
	}
	return a
}

// always writes JSON records at any level.
func (f *logFlags) always() *slog.Logger {
	return slog.New(slog.NewJSONHandler(f.stderr, nil))
}

// notice reports the progress of the command. The attributes are for JSON only: the text already contains them.
func (f *logFlags) notice(text string, attrs ...any) {
	if f.format == "json" {
		f.always().Info(text, attrs...)
		return
	}
	_, _ = fmt.Fprintln(f.stderr, "mesh: "+text)
}

// fail reports why the command failed.
func (f *logFlags) fail(err error) {
	text := strings.TrimPrefix(err.Error(), "mesh: ")
	if f.format == "json" {
		f.always().Error(text)
		return
	}
	_, _ = fmt.Fprintln(f.stderr, "mesh: "+text)
}
