package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio/logthrottle"
)

// natsLog writes the log of the embedded NATS server into the command's log. Some lines repeat, because hubs call each
// other every second or because strangers try the address. natsLog writes such a line once a minute, with the number of
// repetitions.
type natsLog struct {
	logger *slog.Logger

	mu           sync.Mutex
	unreachable  int   // the number of other hubs that did not respond at first
	startFailure error // the reason why the server does not start
	lines        map[string]*logthrottle.Throttle
}

const (
	natsLogInterval = time.Minute
	natsLogLines    = 100 // natsLog counts so many different lines separately
)

// natsPeer matches the server's prefix of a line about a connection.
var natsPeer = regexp.MustCompile(`^(\S+) - rid:\d+ - `)

// Texts in the server's lines, and their meanings for a mesh. If the server writes another text, the log has that text.
const (
	natsNoRoute    = "Error trying to connect to route"
	natsHandshake  = "TLS %s handshake error"
	natsUnverified = "TLS certificate chain and hostname of solicited routes will not be verified" // clusterTLS does it
	natsNoClients  = "Error listening on port:"                                                    // see noPort
	natsAlert      = "remote error: tls: bad certificate"
	natsNoHub      = "authentication error" // a peer sends a line that no hub without a secret sends
	natsOtherMesh  = "cluster name"         // does not match
)

func (l *natsLog) debugs() bool { return l.logger.Enabled(context.Background(), slog.LevelDebug) }

// Noticef implements server.Logger, as the other methods do. The server calls it at each start and end.
func (l *natsLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }

func (l *natsLog) Debugf(format string, v ...any) { l.log(slog.LevelDebug, format, v) }

// Tracef would log the messages themselves.
func (l *natsLog) Tracef(string, ...any) {}

func (l *natsLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, natsUnverified) {
		l.log(slog.LevelWarn, format, v)
	}
}

func (l *natsLog) Errorf(format string, v ...any) {
	if strings.HasPrefix(format, natsNoRoute) {
		l.mu.Lock()
		l.unreachable++
		l.mu.Unlock()
	}
	l.log(slog.LevelError, format, v)
}

// Fatalf records that the server does not start. The server leaves the consequences to the logger.
func (l *natsLog) Fatalf(format string, v ...any) {
	if strings.HasPrefix(format, natsNoClients) {
		return
	}
	died := errorOf(v)
	if died == nil {
		died = fmt.Errorf(format, v...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.startFailure = died
}

// startError returns the reason why the server has not started, or nil.
func (l *natsLog) startError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.startFailure
}

// unreachableHubs returns the number of other hubs that did not respond at first.
func (l *natsLog) unreachableHubs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unreachable
}

// allow counts one more line. It returns the number of these lines since the last one in the log, or 0 if the last one
// is less than a minute old.
func (l *natsLog) allow(what string) (times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.lines[what]
	if line == nil {
		if l.lines == nil || len(l.lines) >= natsLogLines {
			l.lines = make(map[string]*logthrottle.Throttle)
		}
		line = &logthrottle.Throttle{Interval: natsLogInterval}
		l.lines[what] = line
	}
	return line.Allow()
}

// errorOf returns the error among the arguments of a line, or nil.
func errorOf(v []any) error {
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			return err
		}
	}
	return nil
}

func (l *natsLog) log(level slog.Level, format string, v []any) {
	var attrs []any
	if peer := natsPeer.FindStringSubmatch(format); peer != nil {
		format = format[len(peer[0]):]
		attrs = append(attrs, "addr", peer[1])
	}
	var reason error
	if level > slog.LevelDebug {
		reason = joinFailure(format, v)
	}
	if reason != nil {
		format = natsHandshake // one kind of line, whatever names it contains
	}
	times := 1
	if level > slog.LevelDebug && !strings.HasPrefix(format, natsNoRoute) { // which has one line for each hub
		if times = l.allow(format); times == 0 {
			return
		}
	}
	text := "mesh: nats: " + strings.TrimSpace(fmt.Sprintf(format, v...))
	switch {
	case strings.HasPrefix(format, natsNoRoute):
		level, text = slog.LevelWarn, "mesh: another hub does not answer"
		attrs = append(attrs, "error", errorOf(v))
	case reason != nil:
		level, text = slog.LevelWarn, "mesh: not joined with the other end of a cluster connection"
		attrs = append(attrs, "error", reason)
	}
	if times > 1 {
		attrs = append(attrs, "times", times)
	}
	l.logger.Log(context.Background(), level, text, attrs...)
}

// Reasons why a connection with another hub fails, see also errOtherSecret.
var (
	errTheirSecret = errors.New("it says that this hub has another secret")
	errNoSecret    = errors.New("it has no secret, but this hub has one, or it is not a hub")
	errNoHub       = errors.New("it has a secret, but this hub has none, or it is not a hub")
	errOtherMesh   = errors.New("it has another --cluster-name")
)

// joinFailure returns the reason in a line about a failed connection, and nil for any other line.
func joinFailure(format string, v []any) error {
	if !strings.HasPrefix(format, natsHandshake) {
		switch text := fmt.Sprintf(format, v...); {
		case text == natsNoHub:
			return errNoHub
		case strings.Contains(text, natsOtherMesh):
			return errOtherMesh
		}
		return nil
	}
	err := errorOf(v)
	switch {
	case err != nil && err.Error() == natsAlert:
		return errTheirSecret
	case errors.As(err, new(tls.RecordHeaderError)):
		return errNoSecret
	}
	return err
}
