package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	engineio "github.com/googollee/go-engine.io"
	"github.com/googollee/go-engine.io/transport/polling"

	"github.com/bigcompany/mesh/interop"
)

// serve reports messages until the session ends.
func (s *session) serve(c interop.Command) {
	opened := s.event("open")
	opened.Transport = s.transport()
	report(opened)
	upgraded, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	if c.Upgrade { // the upgrade may be over by now: Accept returns a session after it was opened
		go s.watch(upgraded, over)
	}
	if c.Burst != nil {
		go s.burst(c, upgraded, over)
	}
	for {
		kind, r, err := s.conn.NextReader()
		var data []byte
		if err == nil {
			data, err = io.ReadAll(r)
			_ = r.Close()
		}
		if err != nil {
			closed := s.event("closed")
			closed.Error = err.Error()
			report(closed)
			return
		}
		got := s.event("message")
		if kind == engineio.BINARY {
			got.Base64 = data
		} else {
			text := string(data)
			got.Text = &text
		}
		report(got)
		if c.Echo {
			s.write(kind, data)
		}
	}
}

// watch waits for the upgrade and reports it.
func (s *session) watch(upgraded, over chan struct{}) {
	for {
		now := s.transport()
		if now == polling.Default.Name() {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
			continue
		}
		up := s.event("upgrade")
		up.Transport = now
		s.mu.Lock()
		up.Sent = s.sent
		s.mu.Unlock()
		report(up)
		close(upgraded)
		return
	}
}

// burst sends the messages in three parts, as the Node.js peers do.
func (s *session) burst(c interop.Command, upgraded, over chan struct{}) {
	third := c.Burst.Count / 3
	for i := range c.Burst.Count {
		switch {
		case i > third && i < 2*third:
			time.Sleep(time.Millisecond)
		case i == 2*third && c.Upgrade:
			select {
			case <-upgraded:
			case <-over:
				return
			}
		}
		s.write(engineio.TEXT, fmt.Appendf(nil, "%s-%d", c.Burst.Prefix, i))
	}
}

func (s *session) send(c interop.Command) {
	if c.Text != nil {
		s.write(engineio.TEXT, []byte(*c.Text))
		return
	}
	s.write(engineio.BINARY, c.Base64)
}

func (s *session) write(kind engineio.FrameType, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.conn.NextWriter(kind)
	if err == nil {
		_, err = w.Write(data)
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		failed := s.event("error")
		failed.Error = err.Error()
		report(failed)
		return
	}
	s.sent++
}

func (s *session) close(int) { _ = s.conn.Close() }

// client is the session of a dial. Its connection is valid when ready is closed.
type client struct {
	*session
	ready chan struct{}
}

func dial(c interop.Command) endpoint {
	cl := &client{session: &session{id: c.ID, number: 1}, ready: make(chan struct{})}
	go func() {
		dialer := engineio.Dialer{Transports: transports(c)}
		conn, err := dialer.Dial(c.URL, nil)
		if err != nil {
			failed := cl.event("error")
			failed.Error = err.Error()
			report(failed)
			return
		}
		cl.conn = conn
		close(cl.ready)
		if c.Upgrade {
			failed := cl.event("upgradeError")
			failed.Error = "the library dials the last transport and never upgrades"
			report(failed)
		}
		c.Upgrade = false
		cl.serve(c)
	}()
	return cl
}

func (cl *client) send(c interop.Command) {
	<-cl.ready
	cl.session.send(c)
}

func (cl *client) close(session int) {
	<-cl.ready
	cl.session.close(session)
}

type server struct {
	engine *engineio.Server
	http   *http.Server

	mu       sync.Mutex
	sessions []*session
}

// milliseconds returns an option of the command, or 0, which means the library's default.
func milliseconds(c interop.Command, option string) time.Duration {
	n, _ := c.Options[option].(float64)
	return time.Duration(n) * time.Millisecond
}

func listen(c interop.Command) endpoint {
	engine, err := engineio.NewServer(&engineio.Options{
		Transports:   transports(c),
		PingInterval: milliseconds(c, "pingInterval"),
		PingTimeout:  milliseconds(c, "pingTimeout"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := &server{engine: engine, http: &http.Server{Handler: engine, ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.http.Serve(l) }()
	go s.accept(c)
	report(event{ID: c.ID, Kind: "listening", Port: l.Addr().(*net.TCPAddr).Port})
	return s
}

func (s *server) accept(c interop.Command) {
	for {
		conn, err := s.engine.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		in := &session{id: c.ID, number: len(s.sessions) + 1, conn: conn}
		s.sessions = append(s.sessions, in)
		s.mu.Unlock()
		go in.serve(c)
	}
}

func (s *server) send(c interop.Command) {
	s.mu.Lock()
	in := s.sessions[c.Session-1]
	s.mu.Unlock()
	in.send(c)
}

func (s *server) close(number int) {
	s.mu.Lock()
	sessions := s.sessions
	s.mu.Unlock()
	if number > 0 {
		sessions[number-1].close(number)
		return
	}
	for _, in := range sessions {
		in.close(0)
	}
	// The engine is not closed: a handshake at that moment would panic on the engine's closed channel.
	_ = s.http.Close()
}
