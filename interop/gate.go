package interop

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need skips t unless all programs are on the PATH. With INTEROP=require or INTEROP=full in the environment t fails
// instead. A test of this package that lacks a program or a permission skips only by Need, needs or lacks.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	needs(t, find(programs...))
}

// needs is like Need, but a missingError in err lists the missing programs. It ignores nil and all other errors.
func needs(t testing.TB, err error) {
	t.Helper()
	if missing, ok := errors.AsType[missingError](err); ok { // the caller handles other errors
		lacks(t, missing.Error())
	}
}

// lacks skips t for a reason, or fails t as Need does.
func lacks(t testing.TB, reason string) {
	t.Helper()
	if required() {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// missingError lists the missing programs.
type missingError []string

func (e missingError) Error() string {
	return "interop: " + e.reason()
}

func (e missingError) reason() string {
	return "these programs are not on the PATH: " + strings.Join(e, ", ")
}

// find returns a missingError unless all programs are on the PATH.
func find(programs ...string) error {
	var missing missingError
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// required reports whether a missing program or permission is a failure.
func required() bool { return os.Getenv("INTEROP") == "require" || Full() }

// Full reports whether INTEROP=full is in the environment, as .ci/full sets it. A full run tests whole tables and
// measures the attackers' figures. A normal run tests one cell of each table. In a full run a missing program is a
// failure.
func Full() bool { return os.Getenv("INTEROP") == "full" }
