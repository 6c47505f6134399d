package main

import (
	"fmt"
	"io"
	"time"
)

func writeHeader(w io.Writer) {
	_, _ = fmt.Fprintln(w, "| attack | bystanders | p50 ms | p99 ms | p99 beside honest clients | events | lost | disconnects | hub's memory MB | hub's CPU ms/s |")
	_, _ = fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
}

func writeRows(w io.Writer, a attack, rows []row) {
	for _, r := range rows {
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f times", r.Ratio)
		}
		_, _ = fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %d | %d | %d | %d | %d |\n", a.name, r.Phase, millis(r.P50), millis(r.P99), ratio,
			r.Heard, r.Lost, r.Disconnects, r.Peak>>20, r.CPU.Milliseconds())
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
