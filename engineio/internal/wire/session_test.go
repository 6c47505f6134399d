package wire

import (
	"context"

	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// session is the owner of a stream in a test.
type session struct {
	ctx        context.Context
	limit      *receivelimit.Limit // nil: no limit
	spend      func(n int) error   // nil: every byte is permitted
	waits      int                 // calls of BeforeBlock
	pongs      []string
	progresses int
}

func (s *session) BeforeBlock() { s.waits++ }

func (s *session) Pong(body []byte) { s.pongs = append(s.pongs, string(body)) }

func (s *session) Progress() { s.progresses++ }

func (s *session) Spend(n int) error {
	if s.spend == nil {
		return nil
	}
	return s.spend(n)
}

func (s *session) ReceiveLimit() (context.Context, *receivelimit.Limit) { return s.ctx, s.limit }
