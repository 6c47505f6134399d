package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bigcompany/mesh/mesh"
)

// prompt reads a user's commands while a node runs. It prints events and log lines above the line that the user types.
type prompt struct {
	node       *mesh.Node
	screen     *term.Terminal
	tty        *os.File
	out        io.Writer
	earlier    *term.State // the terminal's earlier state
	restoreLog func()      // restores the log's earlier target

	mu            sync.Mutex
	width, height int
	events        map[string]int // the count of each event by name; 0 for names that only other nodes subscribe to
	listedFor     string         // the line for which completions were listed
}

const promptText = `emit EVENT [JSON]   emit an event
on EVENT...         print the events with these names; * is any one part of a name,
                    ** any number of parts
off EVENT...        stop printing them
events              list the printed names, and the names received so far
nodes               list the other nodes, and their subscriptions
help                print this list
quit                end the node, as Ctrl-C and Ctrl-D do

The tab key completes commands and names, the arrow keys bring back earlier lines.
`

// openPrompt turns the terminal into a prompt if the command runs in the foreground of a terminal. Otherwise it returns
// nil. The caller closes the prompt.
func openPrompt(n *mesh.Node, in io.Reader, out io.Writer, logs *logFlags) (*prompt, error) {
	tty, isFile := in.(*os.File)
	screen, alsoFile := out.(*os.File)
	if !isFile || !alsoFile || !term.IsTerminal(int(tty.Fd())) || !term.IsTerminal(int(screen.Fd())) || !foreground(tty) {
		return nil, nil
	}
	p := &prompt{node: n, tty: tty, out: out, events: make(map[string]int)}
	p.screen = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{tty, screen}, "mesh> ")
	p.screen.AutoCompleteCallback = p.complete
	p.resize()
	var err error
	if p.earlier, err = term.MakeRaw(int(tty.Fd())); err != nil {
		return nil, fmt.Errorf("the terminal cannot be used for a prompt: %w; to do without one, add < /dev/null", err)
	}
	p.restoreLog = logs.stderr.redirect(p)
	return p, nil
}

// close restores the terminal.
func (p *prompt) close() {
	if p == nil {
		return
	}
	p.restoreLog()
	_ = term.Restore(int(p.tty.Fd()), p.earlier) // there is no remedy for an error
	_, _ = fmt.Fprintln(p.out)                   // the last typed line stays
}

// start executes the typed commands. The channel gets the error that ends the prompt, which is nil at the end of the
// input. The goroutine waits for the terminal, so it lasts as long as the process if the node ends first.
func (p *prompt) start(events *printer) <-chan error {
	if p == nil {
		return nil
	}
	p.printLine("help lists the commands")
	ended := make(chan error, 1)
	go func() { ended <- p.run(events) }()
	return ended
}

// Write prints above the line that the user types.
func (p *prompt) Write(b []byte) (int, error) {
	p.resize()
	return writeEscaped(p.screen, b)
}

func (p *prompt) printLine(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// resize adopts the terminal's size. Not all systems have a signal for a change of the size.
func (p *prompt) resize() {
	width, height, err := term.GetSize(int(p.tty.Fd()))
	p.mu.Lock()
	changed := err == nil && width > 0 && (width != p.width || height != p.height)
	if changed {
		p.width, p.height = width, height
	}
	p.mu.Unlock()
	if changed {
		_ = p.screen.SetSize(width, height) // after an error the screen keeps its contents
	}
}

// run executes the typed commands, line by line. The error is nil at the end of the input.
func (p *prompt) run(events *printer) error {
	for {
		text, err := p.screen.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		command, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		rest = strings.TrimSpace(rest)
		switch command {
		case "":
		case "emit":
			err = p.emit(rest)
		case "on":
			err = p.on(events, eventNames(rest))
		case "off":
			err = p.off(events, eventNames(rest))
		case "events":
			p.list(events)
		case "nodes":
			err = p.nodes()
		case "help", "?":
			_, _ = io.WriteString(p, promptText)
		case "quit", "exit":
			return nil
		default:
			err = fmt.Errorf("unknown command %q: help lists the commands", command)
		}
		if err != nil {
			p.printLine("%v", withoutPackage(err))
		}
	}
}

func (p *prompt) emit(rest string) error {
	event, data, has := strings.Cut(rest, " ")
	event = unquote(event)
	if event == "" {
		return errors.New("emit needs the name of an event: emit greeting {\"n\":1}")
	}
	data = unquote(strings.TrimSpace(data))
	payload, err := parseEvent(event, data, has && data != "")
	if err != nil {
		return err
	}
	if err := p.node.Emit(event, payload); err != nil {
		return friendlyError(err, &mesh.Options{Addr: p.node.Addr()})
	}
	return nil
}

// unquote removes the single quotes that a word needs in a shell but not here.
func unquote(word string) string {
	if n := len(word); n > 1 && word[0] == '\'' && word[n-1] == '\'' {
		return word[1 : n-1]
	}
	return word
}

// eventNames returns the names after a command.
func eventNames(rest string) []string {
	all := strings.Fields(rest)
	for i := range all {
		all[i] = unquote(all[i])
	}
	return all
}

func (p *prompt) on(events *printer, patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("on needs the name of an event; ** means every event")
	}
	if err := checkPatterns("", patterns); err != nil {
		return err
	}
	for _, pattern := range patterns {
		events.on(p.node, pattern)
	}
	return nil
}

func (p *prompt) off(events *printer, patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("off needs a name that was given to on")
	}
	for _, pattern := range patterns {
		if !events.off(pattern) {
			return fmt.Errorf("%s was not given to on; events lists the names that were", pattern)
		}
	}
	return nil
}

// countEvent counts a received event. p may be nil.
func (p *prompt) countEvent(event string) {
	if p != nil {
		p.remember(event, 1)
	}
}

// remember stores a name or pattern, and adds times to the count of its events.
func (p *prompt) remember(name string, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.events[name]; known || len(p.events) < maxNames {
		p.events[name] += times
	}
}

// maxNames bounds the number of names that the prompt remembers for completion.
const maxNames = 1000

func (p *prompt) names() ([]string, map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.events)), maps.Clone(p.events)
}

func (p *prompt) list(events *printer) {
	names, count := p.names()
	printed := events.patterns()
	if len(printed)+len(names) == 0 {
		p.printLine("no event is printed: on EVENT prints the events of that name, on ** every event")
		return
	}
	if len(printed) > 0 {
		p.printLine("printed: %s", strings.Join(printed, " "))
	}
	for _, name := range names {
		if count[name] == 0 {
			continue // only another node subscribes to it
		}
		p.printLine("heard:   %s (%d)", printable(name), count[name])
	}
}

// nodes lists the other nodes.
func (p *prompt) nodes() error {
	all, err := otherNodes(context.Background(), p.node)
	if err != nil {
		return friendlyError(err, &mesh.Options{Addr: p.node.Addr()})
	}
	for _, i := range all {
		for _, name := range i.Interests {
			p.remember(name, 0)
		}
	}
	return (&nodePrinter{out: p, now: time.Now}).list(all)
}

// complete is called for each pressed key. The tab key completes the word before the cursor.
func (p *prompt) complete(text string, pos int, key rune) (string, int, bool) {
	p.resize()
	if key != '\t' {
		p.listedFor = ""
		return "", 0, false
	}
	before := text[:pos]
	word := before[strings.LastIndexByte(before, ' ')+1:]
	found := slices.DeleteFunc(p.candidates(before), func(c string) bool { return !strings.HasPrefix(c, word) })
	if len(found) == 0 {
		return text, pos, true
	}
	whole := found[0]
	for _, c := range found[1:] {
		whole = whole[:commonPrefix(whole, c)]
	}
	if len(found) == 1 && pos == len(text) {
		whole += " "
	}
	if whole == word && p.listedFor != text {
		p.listedFor = text // list the completions once
		p.printLine("%s", strings.Join(found, "  "))
	}
	head := before[:len(before)-len(word)] + whole
	return head + text[pos:], len(head), true
}

var commands = []string{"emit", "events", "help", "nodes", "off", "on", "quit"}

// candidates returns the possible completions of the last word of the text.
func (p *prompt) candidates(before string) []string {
	command, rest, more := strings.Cut(strings.TrimLeft(before, " "), " ")
	if !more {
		return slices.Clone(commands)
	}
	if command == "on" || command == "off" || command == "emit" && !strings.Contains(strings.TrimLeft(rest, " "), " ") {
		names, _ := p.names()
		return slices.DeleteFunc(names, func(name string) bool { return printable(name) != name }) // the user cannot type such a name either
	}
	return nil
}

// commonPrefix returns the length in bytes of the common prefix of two texts, in whole characters.
func commonPrefix(a, b string) int {
	for i, r := range a {
		if !strings.HasPrefix(b[min(i, len(b)):], string(r)) {
			return i
		}
	}
	return len(a)
}
