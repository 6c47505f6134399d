// Package interoptest helps the tests of all packages that run other programs. It imports no package of this module
// except interop/internal/env, so that each test can import it.
package interoptest

import (
	"errors"
	"testing"

	"github.com/bigcompany/mesh/interop/internal/env"
)

// Need skips t unless all programs are on the PATH. With INTEROP=require or INTEROP=full in the environment t fails
// instead. A test that lacks a program or a permission skips only by Need, SkipMissing or Lack.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	SkipMissing(t, env.Find(programs...))
}

// SkipMissing is like Need for the missing programs that err lists. It ignores nil and all other errors.
func SkipMissing(t testing.TB, err error) {
	t.Helper()
	if missing, ok := errors.AsType[env.MissingError](err); ok { // the caller handles other errors
		Lack(t, missing.Error())
	}
}

// Lack skips t for a reason, or fails t as Need does.
func Lack(t testing.TB, reason string) {
	t.Helper()
	if env.Required() {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// Full reports whether the run is a full run, see env.Full.
func Full() bool { return env.Full() }
