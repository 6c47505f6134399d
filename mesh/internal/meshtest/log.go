package meshtest

import (
	"log/slog"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// Log collects log lines of all levels. The zero value is ready for use, by any number of goroutines.
type Log struct{ interoptest.Buffer }

// Logger returns a logger that writes to the log.
func (l *Log) Logger() *slog.Logger { return l.Buffer.Logger(slog.LevelDebug) }
