// Command googollee is an Engine.IO peer that uses github.com/googollee/go-engine.io, for the tests of package interop.
// It takes commands as the Node.js peers do. It is server and client in one program:
//
//	listen    {id, options, echo, burst, upgrade}   upgrade: sessions are expected to upgrade
//	dial      {id, url, options, burst, upgrade}
//	send      {id, session, text | base64}
//	close     {id, session}                         without a session: a server and all its sessions
//
// Options are transports and, of a server, pingInterval and pingTimeout in milliseconds.
//
// Events: listening {port}; open, message, upgrade, upgradeError {error}, error {error} and closed {error}, each with
// the session's number. The library reports neither upgrades nor the reason for the end of a session. This program
// therefore checks the transport once a millisecond, and reports the error of the read.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"

	engineio "github.com/googollee/go-engine.io"
	"github.com/googollee/go-engine.io/transport"
	"github.com/googollee/go-engine.io/transport/polling"
	"github.com/googollee/go-engine.io/transport/websocket"

	"github.com/bigcompany/mesh/interop"
)

// event is one line of output. Unlike interop.Event, it omits empty fields.
type event struct {
	ID        string  `json:"id"`
	Kind      string  `json:"event"`
	Port      int     `json:"port,omitempty"`
	Session   int     `json:"session,omitempty"`
	Transport string  `json:"transport,omitempty"`
	Text      *string `json:"text,omitempty"`
	Base64    []byte  `json:"base64,omitempty"`
	Sent      int     `json:"sent,omitempty"`
	Reason    string  `json:"reason,omitempty"`
	Error     string  `json:"error,omitempty"`
}

var stdout struct {
	sync.Mutex
	*json.Encoder
}

func report(e event) {
	stdout.Lock()
	err := stdout.Encode(e)
	stdout.Unlock()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	stdout.Encoder = json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // the library prints to os.Stdout; standard output is for events only
	report(event{Kind: "ready"})
	endpoints := make(map[string]chan<- interop.Command)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // the test has ended, or closed our input
		}
		var c interop.Command
		if err := json.Unmarshal(line, &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if endpoints[c.ID] == nil {
			commands := make(chan interop.Command, 100) // so that an endpoint that hangs does not block the others
			endpoints[c.ID] = commands
			go run(commands)
		}
		endpoints[c.ID] <- c
	}
}

// run executes the commands to one endpoint.
func run(commands <-chan interop.Command) {
	var e endpoint
	for c := range commands {
		switch c.Do {
		case "listen":
			e = listen(c)
		case "dial":
			e = dial(c)
		case "send":
			e.send(c)
		case "close":
			e.close(c.Session)
		default:
			fmt.Fprintln(os.Stderr, "no such command:", c.Do)
			os.Exit(1)
		}
	}
}

// endpoint is a server or a client session.
type endpoint interface {
	send(c interop.Command)
	close(session int)
}

// transports returns the transports in the command's options, in the library's order. Without them it returns all
// transports.
func transports(c interop.Command) []transport.Transport {
	names, _ := c.Options["transports"].([]any)
	var list []transport.Transport
	for _, t := range []transport.Transport{polling.Default, websocket.Default} {
		if len(names) == 0 || slices.Contains(names, any(t.Name())) {
			list = append(list, t)
		}
	}
	return list
}

// session is a session of a server or of a client.
type session struct {
	id     string
	number int
	conn   engineio.Conn

	mu   sync.Mutex // one writer at a time
	sent int
}

func (s *session) event(kind string) event { return event{ID: s.id, Kind: kind, Session: s.number} }

func (s *session) transport() string {
	return s.conn.(interface{ Transport() string }).Transport()
}
