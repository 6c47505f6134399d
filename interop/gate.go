package interop

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need skips t unless every one of the programs is on the PATH. With INTEROP=require in the environment t fails
// instead. It and needs are the only places where a test of this package may be skipped.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	needs(t, find(programs...))
}

// needs is Need where err, if it is not nil, says which program is missing.
func needs(t testing.TB, err error) {
	t.Helper()
	missing, ok := errors.AsType[missingError](err)
	switch {
	case !ok: // an error of another kind is for the caller
	case required():
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// missingError is a list of programs.
type missingError []string

func (e missingError) Error() string {
	return "interop: " + e.reason()
}

func (e missingError) reason() string {
	return "these programs are not on the PATH: " + strings.Join(e, ", ")
}

// find returns a missingError unless every one of the programs is on the PATH.
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

// required reports whether a missing program is a failure.
func required() bool { return os.Getenv("INTEROP") == "require" || Full() }

// Full reports whether whole tables and the attackers' figures are to run: INTEROP=full in the environment, as .ci/full
// sets it. A normal run takes one cell of each table. Full implies that a missing program is a failure.
func Full() bool { return os.Getenv("INTEROP") == "full" }
