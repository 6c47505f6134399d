package main

import (
	"io"
	"sync"
	"time"

	engineio "github.com/googollee/go-engine.io"
)

// googolleeSession is a session of googollee's library, which allows only one writer at a time.
type googolleeSession struct {
	engineio.Conn
	writing sync.Mutex
}

// serveGoogollee serves googollee's Engine.IO with its defaults, except the heartbeat. It calls handler in a goroutine
// for each session.
func serveGoogollee(handler func(*googolleeSession), heartbeat time.Duration, in io.Reader, out io.Writer) error {
	engine, err := engineio.NewServer(&engineio.Options{PingInterval: heartbeat})
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := engine.Accept()
			if err != nil {
				return
			}
			go handler(&googolleeSession{Conn: conn})
		}
	}()
	// The engine is not closed: a handshake at that moment would panic on the engine's closed channel.
	return serveHTTP(engine, in, out)
}

func (s *googolleeSession) read() (engineio.FrameType, []byte, error) {
	kind, r, err := s.NextReader()
	if err != nil {
		return 0, nil, err
	}
	data, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return kind, data, err
}

func (s *googolleeSession) write(kind engineio.FrameType, data []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	w, err := s.NextWriter(kind)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

func googolleeEcho(s *googolleeSession) {
	defer func() { _ = s.Close() }()
	for {
		kind, data, err := s.read()
		if err != nil {
			return
		}
		if err := s.write(kind, data); err != nil {
			return
		}
	}
}

// googolleeRelay is like relay, for googollee's library.
type googolleeRelay struct{ members[*googolleeSession] }

func (r *googolleeRelay) serve(s *googolleeSession) {
	defer func() { _ = s.Close() }()
	r.add(s)
	defer r.remove(s)
	for {
		kind, data, err := s.read()
		if err != nil {
			return
		}
		for _, other := range r.all() {
			if other != s {
				_ = other.write(kind, data) // fails if that session has ended
			}
		}
	}
}
