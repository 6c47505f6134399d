package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bigcompany/mesh/engineio"
)

// verdict is the meaning of a mark in the table.
type verdict string

const (
	works       verdict = "works"
	peersFault  verdict = "peer's fault"
	fails       verdict = "fails"
	notPossible verdict = "not possible" // in this mode
	notRun      verdict = "not run"
)

// Matrix holds the results of our pairs. The results of the references decide which failures are the peers' faults.
type Matrix struct {
	Rows  []row  `json:"rows"`
	Notes []note `json:"notes"` // the peers' faults
}

// row holds the results of one peer, in one role and revision, with our end.
type row struct {
	Peer     string            `json:"peer"`
	Revision engineio.Revision `json:"revision"`
	Cells    []mark            `json:"cells"`            // ordered by exchange and then by mode
	NotRun   string            `json:"notRun,omitempty"` // why the row was not run; only rows over WebTransport may be left out
}

type mark struct {
	Exchange string  `json:"exchange"`
	Mode     mode    `json:"mode"`
	Verdict  verdict `json:"verdict"`
	Note     int     `json:"note,omitempty"` // number of the note, from 1
	Error    string  `json:"error,omitempty"`
}

// note is a fault of a peer.
type note struct {
	Reason  string   `json:"reason"`
	ShownBy []string `json:"shownBy"` // pairs of foreign peers that fail in the same way
}

// newMatrix makes a matrix from the results of all pairs. A fault that no reference has shown counts as a failure.
func newMatrix(all []results) *Matrix {
	shownBy := make(map[*fault][]string)
	for _, res := range all {
		for _, o := range res.outcomes {
			if by := res.pair.String(); !res.pair.isOurs() && o.shown && !slices.Contains(shownBy[o.fault], by) {
				shownBy[o.fault] = append(shownBy[o.fault], by)
			}
		}
	}
	x := &Matrix{}
	numbers := make(map[*fault]int)
	for _, res := range all {
		if !res.pair.isOurs() {
			continue
		}
		r := row{Peer: res.pair.peer(), Revision: res.pair.revision, NotRun: res.notRun}
		for _, c := range cells {
			for _, m := range res.pair.modes() {
				k := mark{Exchange: c.name, Mode: m, Verdict: notPossible}
				if r.NotRun != "" && c.in(m) {
					k.Verdict = notRun
				}
				i := slices.IndexFunc(res.outcomes, func(o outcome) bool { return o.mode == m && o.cell.name == c.name })
				if i >= 0 {
					o := res.outcomes[i]
					switch {
					case o.err != nil:
						k.Verdict, k.Error = fails, o.err.Error()
					case o.fault == nil:
						k.Verdict = works
					case shownBy[o.fault] == nil:
						k.Verdict, k.Error = fails, "no pair of other peers fails in this way: "+o.fault.reason
					default:
						if numbers[o.fault] == 0 {
							x.Notes = append(x.Notes, note{o.fault.reason, shownBy[o.fault]})
							numbers[o.fault] = len(x.Notes)
						}
						k.Verdict, k.Note = peersFault, numbers[o.fault]
					}
				}
				r.Cells = append(r.Cells, k)
			}
		}
		x.Rows = append(x.Rows, r)
	}
	return x
}

// Failures returns a line for each exchange that fails because of this project.
func (x *Matrix) Failures() []string {
	var lines []string
	for _, r := range x.Rows {
		for _, k := range r.Cells {
			if k.Verdict == fails {
				lines = append(lines, fmt.Sprintf("%s, revision %d, %s, %s: %s", r.Peer, r.Revision, k.Mode, k.Exchange, k.Error))
			}
		}
	}
	return lines
}

// WriteJSON writes the whole matrix as indented JSON.
func (x *Matrix) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(x)
}

// WriteMarkdown writes tables for people: one for WebTransport, and one for the other transports. The columns are
// aligned, so that the tables can be read in a terminal too.
func (x *Matrix) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	var most, over []row
	for _, r := range x.Rows {
		if r.isOver(webtransportModes) {
			over = append(over, r)
		} else {
			most = append(most, r)
		}
	}
	if len(most) > 0 {
		writeTable(&b, most, modes)
	}
	if len(over) > 0 {
		if len(most) > 0 {
			b.WriteString("\n")
		}
		b.WriteString(wrap("Each column has two marks: "+legend(webtransportModes)+".", 120, ""))
		b.WriteString("\n")
		writeTable(&b, over, webtransportModes)
		for _, r := range over {
			if r.NotRun != "" {
				b.WriteString("\n" + wrap(fmt.Sprintf("%s was not run over WebTransport: %s.", r.Peer, r.NotRun), 120, ""))
			}
		}
	}
	if len(x.Notes) > 0 {
		b.WriteString("\n")
	}
	for i, n := range x.Notes {
		text := fmt.Sprintf("%d. %s Also seen between %s.", i+1, n.Reason, strings.Join(n.ShownBy, ", and between "))
		b.WriteString(wrap(text, 120, "   "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r row) isOver(modes []mode) bool {
	return slices.ContainsFunc(r.Cells, func(k mark) bool { return slices.Contains(modes, k.Mode) })
}

// writeTable writes rows that have marks in these modes.
func writeTable(b *strings.Builder, rows []row, modes []mode) {
	lines := [][]string{{"peer", "revision"}}
	for _, c := range cells {
		lines[0] = append(lines[0], c.name)
	}
	for _, r := range rows {
		line := []string{r.Peer, strconv.Itoa(int(r.Revision))}
		for of := range slices.Chunk(r.Cells, len(modes)) {
			var marks []string
			for _, k := range of {
				marks = append(marks, k.symbol())
			}
			line = append(line, strings.Join(marks, " "))
		}
		lines = append(lines, line)
	}
	writeLines(b, lines)
}

// writeLines writes a table. The first line is the header.
func writeLines(b *strings.Builder, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, s := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", n)
	}
	for _, line := range slices.Insert(lines, 1, rule) {
		for i, s := range line {
			fmt.Fprintf(b, "| %-*s ", widths[i], s)
		}
		b.WriteString("|\n")
	}
}

func (k mark) symbol() string {
	switch k.Verdict {
	case works:
		return "✓"
	case peersFault:
		return superscript(k.Note)
	case fails:
		return "✗"
	case notRun:
		return "?"
	case notPossible:
	}
	return "–"
}

func superscript(n int) string {
	digits := []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")
	var b strings.Builder
	for _, d := range strconv.Itoa(n) {
		b.WriteRune(digits[d-'0'])
	}
	return b.String()
}

// wrap breaks text into lines of at most width characters. It indents all lines except the first.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > width:
			b.WriteString("\n" + indent)
			used = len(indent)
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String() + "\n"
}

// Legends returns the meaning of the marks in a cell, in order, for each of the two tables.
func Legends() (most, webTransport string) { return legend(modes), legend(webtransportModes) }

func legend(modes []mode) string {
	var names []string
	for _, m := range modes {
		names = append(names, m.title())
	}
	return strings.Join(names, ", ")
}

// DescribeColumns returns a description of each column, one on a line.
func DescribeColumns() string {
	var b strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&b, "  %-18s%s\n", c.name, c.title)
	}
	return b.String()
}
