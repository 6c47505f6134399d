package engineio_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// The test calls every public method from many goroutines at once, on many short sessions of each kind, for a second.
// It looks for data races, panics and hangs.
// Advisories: googollee/go-socket.io#170, googollee/go-socket.io#182, googollee/go-socket.io#393
func TestConcurrentSocketMethods(t *testing.T) {
	opts := bothRevisions()
	opts.QueueLimit = 4 << 10
	opts.BufferLimit = 1 << 20
	shared := []engineio.Message{engineio.Prepare(engineio.Text("to all")), engineio.Prepare(engineio.Binary([]byte{4, 0, 255})), engineio.Prepare(engineio.Text(string(make([]byte, 3000))))}
	known := func(err error) {
		var closed *engineio.CloseError
		if err != nil && !errors.As(err, &closed) && !errors.Is(err, engineio.ErrQueueFull) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("unexpected: %v", err)
		}
	}
	var closers sync.WaitGroup // Close of a polling session without a client takes 30 s, or ends with the server
	// poke calls one random method of a socket.
	poke := func(s *engineio.Socket) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		switch rand.IntN(40) {
		case 0:
			closers.Go(func() { known(s.Close()) })
		case 1:
			s.Abort(context.Canceled)
		case 2, 3:
			known(s.Flush(ctx))
		case 4:
			if s.Revision() == engineio.Revision3 && s.Request() == nil {
				known(s.Ping(ctx))
			}
		case 5:
			if s.Context().Err() != nil {
				known(context.Cause(s.Context()))
			}
		case 6:
			_, _ = s.Transport(), s.ID()
			if r := s.Request(); r != nil {
				r.Header.Set("X", "mine")
			}
		case 7, 8, 9, 10:
			known(s.Write(ctx, shared[rand.IntN(len(shared))]))
		case 11, 12, 13:
			known(s.Write(ctx, engineio.Text("own")))
		default:
			known(s.TryWrite(shared[rand.IntN(len(shared))]))
		}
	}
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		switch rand.IntN(3) {
		case 0:
			s.Discard()
			<-ctx.Done()
		case 1:
			echo(ctx, s)
		case 2:
			for range 20 {
				if _, err := s.Read(ctx); err != nil {
					known(err)
					return
				}
				poke(s)
			}
		}
	})
	ts := newTestServer(t, h, opts)
	srv, url := ts.srv, ts.url
	until := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // the server's side of all sessions
			for time.Now().Before(until) {
				for _, s := range srv.Sockets() {
					poke(s)
				}
			}
		})
	}
	for _, o := range everyTransport {
		wg.Go(func() {
			o.QueueLimit = 4 << 10
			for time.Now().Before(until) {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				s, err := engineio.Dial(ctx, url, &o)
				cancel()
				if err != nil {
					continue // the server's side ended while the session opened
				}
				var mine sync.WaitGroup
				mine.Go(func() {
					for {
						if _, err := s.Read(context.Background()); err != nil && !errors.Is(err, engineio.ErrConcurrentRead) {
							known(err)
							return
						}
					}
				})
				for range 3 {
					mine.Go(func() {
						for range 30 {
							poke(s)
						}
					})
				}
				mine.Go(func() { // a second reader gets an error
					if _, err := s.Read(s.Context()); !errors.Is(err, engineio.ErrConcurrentRead) && err != nil {
						known(err)
					}
				})
				<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
				known(s.Close())
				mine.Wait()
			}
		})
	}
	wg.Wait()

	// Shutdown and Close run while sessions open.
	for range 20 {
		wg.Go(func() {
			s, err := engineio.Dial(context.Background(), url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.Transport([]string{"polling", "websocket"}[rand.IntN(2)])}})
			if err == nil {
				_, err = s.Read(context.Background())
				known(err)
				known(s.Close())
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			known(srv.Shutdown(ctx))
			known(srv.Close())
		})
	}
	wg.Wait()
	closers.Wait()
	require.Empty(t, srv.Sockets())
	require.Zero(t, srv.SendBudgetUsed())
}
