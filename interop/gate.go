package interop

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need skips t unless every one of the programs is on the PATH. With INTEROP=require in the environment t fails
// instead. It is the only place where a test of this package may be skipped.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return
	}
	const format = "interop: these programs are not on the PATH: %s"
	if os.Getenv("INTEROP") == "require" {
		t.Fatalf(format, strings.Join(missing, ", "))
	}
	t.Skipf(format, strings.Join(missing, ", "))
}
