package interoptest

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// ending is a test that records how it ends.
type ending struct {
	testing.TB
	ended string
}

func (*ending) Helper() {}

func (e *ending) Fatal(...any) { e.end("failed") }
func (e *ending) Skip(...any)  { e.end("skipped") }

func (e *ending) end(how string) {
	e.ended = how
	runtime.Goexit()
}

// A test that lacks a program or a permission is skipped. With INTEROP=require or INTEROP=full it fails.
func TestSkipsThatARequiredRunRejects(t *testing.T) {
	for value, want := range map[string]string{"": "skipped", "require": "failed", "full": "failed"} {
		t.Setenv("INTEROP", value)
		for name, lack := range map[string]func(testing.TB){
			"a program":    func(tb testing.TB) { Need(tb, "no-such-program") },
			"a permission": func(tb testing.TB) { Lack(tb, "this user may not listen on port 80") },
		} {
			o := new(ending)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				lack(o)
			}()
			<-ended
			require.Equal(t, want, o.ended, "%s, INTEROP=%s", name, value)
		}
	}
}
