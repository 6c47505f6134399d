package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// report is the output of this program. The JSON contains all facts of the text, and the figures of each run.
type report struct {
	Machine   machine    `json:"machine"`
	Runs      int        `json:"runs"`
	Quick     bool       `json:"quick,omitempty"` // the figures of a quick run have no meaning
	Scenarios []*section `json:"scenarios"`
	Ratios    []string   `json:"ratios"`
}

// section holds the results of one scenario.
type section struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Rows    []*row `json:"rows"`
	columns []column
}

// row holds the results of one load at one server.
type row struct {
	Load   string    `json:"load,omitempty"` // empty if the scenario has only one load
	Server string    `json:"server"`
	Runs   []outcome `json:"runs,omitempty"`
	Median *figures  `json:"median,omitempty"`  // median of each figure over the runs that did not fail
	NotRun string    `json:"not_run,omitempty"` // the reason, if the server could not start or the machine's limits are too small

	id     string
	server *server
}

// outcome is the result of one run.
type outcome struct {
	figures
	Error string `json:"error,omitempty"`
}

// median returns the median of each figure, or nil if all runs failed.
func median(runs []outcome) *figures {
	var ok []figures
	for _, r := range runs {
		if r.Error == "" {
			ok = append(ok, r.figures)
		}
	}
	if len(ok) == 0 {
		return nil
	}
	of := func(figure func(figures) float64) float64 {
		var values []float64
		for _, f := range ok {
			values = append(values, figure(f))
		}
		return middle(values)
	}
	return &figures{
		Count:     int(of(func(f figures) float64 { return float64(f.Count) })),
		Seconds:   of(func(f figures) float64 { return f.Seconds }),
		PerSecond: of(func(f figures) float64 { return f.PerSecond }),
		P50:       of(func(f figures) float64 { return f.P50 }),
		P99:       of(func(f figures) float64 { return f.P99 }),
		CPU:       of(func(f figures) float64 { return f.CPU }),
		Memory:    of(func(f figures) float64 { return f.Memory }),
	}
}

// middle returns the median, or 0 if there are no values.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// column is a column of a text table: one figure of each row.
type column struct {
	head   string // with the unit
	figure func(figures) float64
}

var (
	colMemory       = column{"KB/connection", func(f figures) float64 { return f.Memory }}
	colDeliveries   = column{"deliveries", func(f figures) float64 { return float64(f.Count) }}
	colDeliveryRate = column{"deliveries/s", func(f figures) float64 { return f.PerSecond }}
	colDeliveryCPU  = column{"CPU µs/delivery", func(f figures) float64 { return f.CPU }}
	colAnswerRate   = column{"answers/s", func(f figures) float64 { return f.PerSecond }}
	colP50          = column{"p50 µs", func(f figures) float64 { return f.P50 }}
	colP99          = column{"p99 µs", func(f figures) float64 { return f.P99 }}
	colAnswerCPU    = column{"CPU µs/answer", func(f figures) float64 { return f.CPU }}
	colConnectRate  = column{"connects/s", func(f figures) float64 { return f.PerSecond }}
	colConnectCPU   = column{"CPU µs/connect", func(f figures) float64 { return f.CPU }}
)

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r *report) writeText(w io.Writer) error {
	var b strings.Builder
	r.Machine.write(&b)
	fmt.Fprintf(&b, "\n%s Client and server share the machine; CPU is the server's, user and system.\n", medianOf(r.Runs))
	if r.Quick {
		b.WriteString("This was a quick run: the figures say nothing about the servers.\n")
	}
	for _, s := range r.Scenarios {
		s.write(&b)
	}
	if len(r.Ratios) > 0 {
		b.WriteString("\nSide by side\n")
		for _, line := range r.Ratios {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func medianOf(runs int) string {
	if runs == 1 {
		return "One run."
	}
	return fmt.Sprintf("Each figure is the median of %d runs.", runs)
}

func (m machine) write(b *strings.Builder) {
	fact := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-9s%s\n", name, value)
		}
	}
	fact("CPU", m.CPU)
	cores := fmt.Sprint(m.Cores)
	if m.MemoryGB > 0 {
		cores += fmt.Sprintf(", %.1f GB of memory, %s open files a process", m.MemoryGB, thousands(m.OpenFiles))
	}
	fact("cores", cores)
	fact("system", strings.Join(slices.DeleteFunc([]string{m.OS, m.Kernel, m.Arch}, func(s string) bool { return s == "" }), ", "))
	software := "Go " + m.Go
	if m.Node != "" {
		software += ", Node.js " + m.Node
	}
	fact("runs on", software)
	fact("date", m.Date.Format("2006-01-02 15:04 -0700"))
	fact("commit", m.Commit)
}

// write prints a table. Texts are aligned left and numbers right. A row that did not run shows the reason in place of
// numbers.
func (s *section) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", s.Name, s.Title)
	withLoad := slices.ContainsFunc(s.Rows, func(r *row) bool { return r.Load != "" })
	head := []string{"server"}
	if withLoad {
		head = []string{"load", "server"}
	}
	texts := len(head)
	for _, c := range s.columns {
		head = append(head, c.head)
	}
	lines := [][]string{head}
	notes := []string{""}
	last := ""
	for _, r := range s.Rows {
		line := []string{r.Server}
		if withLoad {
			line = []string{r.Load, r.Server}
			if r.Load == last {
				line[0] = ""
			}
			last = r.Load
		}
		if r.Median != nil {
			for _, c := range s.columns {
				line = append(line, number(c.figure(*r.Median)))
			}
		}
		lines = append(lines, line)
		notes = append(notes, r.note())
	}
	widths := make([]int, len(head))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < texts {
				text.WriteString("  " + cell + pad)
			} else {
				text.WriteString("  " + pad + cell)
			}
		}
		if notes[n] != "" {
			text.WriteString("  " + notes[n])
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}

// note returns the reason why the row did not run, or the errors of its runs, or an empty string.
func (r *row) note() string {
	if r.NotRun != "" {
		return "did not run: " + r.NotRun
	}
	failed, reason := 0, ""
	for _, o := range r.Runs {
		if o.Error != "" {
			failed++
			reason = o.Error
		}
	}
	switch failed {
	case 0:
		return ""
	case len(r.Runs):
		return "failed: " + reason
	default:
		return fmt.Sprintf("(%d of %d runs failed: %s)", failed, len(r.Runs), reason)
	}
}

// number writes v with three digits, or with all digits before the point in groups of three. It writes 0 as a dash: a
// figure is 0 only if it is too small for the system's clock.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 0.9995:
		return fmt.Sprintf("%.3f", v)
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return thousands(int(v + 0.5))
	}
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
