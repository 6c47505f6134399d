package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

// AwaitTimeout is the usual limit of a wait, as in Must. Peers respond within milliseconds; the rest is for a loaded
// machine.
const AwaitTimeout = 20 * time.Second

// Command is one line to a peer. The peer's script says which fields a command has.
type Command struct {
	Do string `json:"do"`
	ID string `json:"id,omitempty"` // filled in by Do

	// Engine.IO peers.
	URL     string         `json:"url,omitempty"`
	Options map[string]any `json:"options,omitempty"` // passed to the library unchanged
	Echo    bool           `json:"echo,omitempty"`
	Burst   *Burst         `json:"burst,omitempty"`
	Upgrade bool           `json:"upgrade,omitempty"` // sessions are expected to upgrade: the burst's last part waits for it
	Session int            `json:"session,omitempty"`
	Text    *string        `json:"text,omitempty"`
	Base64  []byte         `json:"base64,omitempty"`

	// Nodes of the mesh.
	Host     string          `json:"host,omitempty"`
	Port     int             `json:"port,omitempty"`
	User     string          `json:"user,omitempty"`
	Password string          `json:"password,omitempty"`
	Accept   [][2]string     `json:"accept,omitempty"` // pairs of user and password that a hub admits; nil admits all
	Retry    int             `json:"retry,omitempty"`  // milliseconds, for reconnect.js; 0: the client runs without reconnect.js
	Name     string          `json:"name,omitempty"`
	Once     bool            `json:"once,omitempty"`
	Answer   string          `json:"answer,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"` // nil omits the argument
}

// Burst asks for Count messages, PREFIX-0 and so on. The peer begins to send them when a session opens: before, during
// and after the upgrade if there is one.
type Burst struct {
	Prefix string `json:"prefix"`
	Count  int    `json:"count"`
}

// Event is one line from a peer.
type Event struct {
	ID   string `json:"id"`
	Kind string `json:"event"`

	Port      int     `json:"port"`
	Session   int     `json:"session"` // a server numbers its sessions from 1; a client has only session 1
	Transport string  `json:"transport"`
	Text      *string `json:"text"`
	Base64    []byte  `json:"base64"`
	Sent      int     `json:"sent"` // messages of the burst that were sent before this event
	Reason    string  `json:"reason"`
	Error     string  `json:"error"`

	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload"` // nil if the event had none
	From    string          `json:"from"`    // only at our nodes and at pages
	Result  json.RawMessage `json:"result"`
}

// Peer is a process that a test, or the matrix, started. It is safe for concurrent use.
type Peer struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and all its output has been read

	inMu sync.Mutex // one line at a time
	in   io.WriteCloser

	mu        sync.Mutex
	stderr    bytes.Buffer
	endpoints map[string]*Endpoint
	last      int   // number of the newest endpoint
	err       error // why the process ended; set before exited is closed
}

// startTimeout bounds the start of a process. In the worst case the process loads its packages from a cold disk.
const startTimeout = time.Minute

// run starts cmd as a peer and returns when the peer is ready for commands.
func run(ctx context.Context, name string, cmd *exec.Cmd) (*Peer, error) {
	p, err := runProgram(name, cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := p.Node().Await(ctx, "ready"); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w; standard error:\n%s", err, p.Stderr())
	}
	return p, nil
}

// runProgram is like run, for a program that takes no commands: it does not wait. The program must print JSON lines,
// each with an event.
func runProgram(name string, cmd *exec.Cmd) (*Peer, error) {
	p := newPeer(name)
	p.cmd = cmd
	cmd.Stderr = stderrOf{p}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("interop: %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("interop: %s: %w", name, err)
	}
	p.in = in
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("interop: %s: %w", name, err)
	}
	go p.run(out)
	return p, nil
}

func newPeer(name string) *Peer {
	return &Peer{name: name, exited: make(chan struct{}), endpoints: make(map[string]*Endpoint)}
}

// NewQueue returns an endpoint without a process. It holds events of this process and takes no commands.
func NewQueue(name string) *Endpoint { return newPeer(name).Endpoint() }

// run passes the lines of out to the endpoints until the process ends. Kill waits for run.
func (p *Peer) run(out io.Reader) {
	err := p.read(out)
	if err != nil {
		_ = p.cmd.Process.Kill() // a process blocks if its output is not read
	}
	if exit := p.cmd.Wait(); err == nil && exit != nil {
		err = exit
	} else if err == nil {
		err = errors.New("ended")
	}
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.exited)
}

func (p *Peer) read(out io.Reader) error {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		var ev Event
		if err := json.Unmarshal(line, &ev); err != nil {
			return fmt.Errorf("line %.200q: %w", line, err)
		}
		p.endpoint(ev.ID).Push(ev)
	}
}

// Kill kills the process and waits until it has ended. Kill may be called again.
func (p *Peer) Kill() {
	_ = p.cmd.Process.Kill() // fails only if the process has ended already
	<-p.exited
}

// Quit closes the standard input of the process, which must then end, and waits for its end. If the process has not
// ended after AwaitTimeout, Quit kills it and returns an error.
func (p *Peer) Quit() error {
	_ = p.in.Close()
	select {
	case <-p.exited:
		return nil
	case <-time.After(AwaitTimeout):
		p.Kill()
		return fmt.Errorf("interop: %s does not end with its input", p.name)
	}
}

// Stderr returns the standard error of the process so far.
func (p *Peer) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

type stderrOf struct{ p *Peer }

func (w stderrOf) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.stderr.Write(b)
}

// Endpoint returns an endpoint with a new ID, for a new server, session or node in the process.
func (p *Peer) Endpoint() *Endpoint {
	p.mu.Lock()
	p.last++
	id := strconv.Itoa(p.last)
	p.mu.Unlock()
	return p.endpoint(id)
}

// Node returns the endpoint of a process that has only one.
func (p *Peer) Node() *Endpoint { return p.endpoint("") }

func (p *Peer) endpoint(id string) *Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[id]
	if e == nil {
		e = &Endpoint{peer: p, id: id, pushed: make(chan struct{})}
		p.endpoints[id] = e
	}
	return e
}

// Endpoint is one server, session or node in a peer's process. It is safe for concurrent use.
type Endpoint struct {
	peer *Peer
	id   string

	mu     sync.Mutex
	queue  []Event
	pushed chan struct{} // closed and replaced when an event is queued
}

// Push queues an event for Await.
func (e *Endpoint) Push(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, ev)
	close(e.pushed)
	e.pushed = make(chan struct{})
}

// Do sends a command. It does not wait for a response.
func (e *Endpoint) Do(c Command) error {
	c.ID = e.id
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("interop: %s: %w", e.peer.name, err)
	}
	e.peer.inMu.Lock()
	defer e.peer.inMu.Unlock()
	if _, err := e.peer.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("interop: %s: %s: %w", e.peer.name, c.Do, err)
	}
	return nil
}

// Await waits for the first event of one of the kinds, removes it from the queue and returns it. Events of other kinds
// stay in the queue. Await returns an error if ctx ends or if the process ends without such an event.
func (e *Endpoint) Await(ctx context.Context, kinds ...string) (Event, error) {
	for {
		ended := false
		select {
		case <-e.peer.exited:
			ended = true // all its events are queued
		default:
		}
		e.mu.Lock()
		for i, ev := range e.queue {
			if slices.Contains(kinds, ev.Kind) {
				e.queue = slices.Delete(e.queue, i, i+1)
				e.mu.Unlock()
				return ev, nil
			}
		}
		pushed, waiting := e.pushed, e.kinds()
		e.mu.Unlock()
		if ended {
			return Event{}, fmt.Errorf("interop: %s: process ended (%w) without an event %v; it reported %v",
				e.peer.name, e.peer.err, kinds, waiting)
		}
		select {
		case <-pushed:
		case <-e.peer.exited:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("interop: %s: no event %v, but %v: %w",
				e.peer.name, kinds, waiting, context.Cause(ctx))
		}
	}
}

func (e *Endpoint) kinds() []string {
	var kinds []string
	for _, ev := range e.queue {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}
