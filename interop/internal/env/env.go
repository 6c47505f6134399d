// Package env describes the environment of a test run: the programs on the PATH and the variable INTEROP. It does not
// import testing, so commands can use it. Tests use package interoptest instead.
package env

import (
	"os"
	"os/exec"
	"strings"
)

// MissingError lists missing programs.
type MissingError []string

func (e MissingError) Error() string { return "interop: " + e.Reason() }

// Reason returns the text of the error without the package's name.
func (e MissingError) Reason() string {
	return "these programs are not on the PATH: " + strings.Join(e, ", ")
}

// Find returns a MissingError unless all programs are on the PATH.
func Find(programs ...string) error {
	var missing MissingError
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

// Required reports whether a missing program or permission is a failure.
func Required() bool { return os.Getenv("INTEROP") == "require" || Full() }

// Full reports whether INTEROP=full is in the environment, as .ci/full sets it. A full run tests whole tables and
// measures the attackers' figures. A normal run tests at least one cell of each table. In a full run a missing program
// is a failure.
func Full() bool { return os.Getenv("INTEROP") == "full" }
