package interoptest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// Main serves as TestMain in a package whose tests run the program of that package. It builds the program, stores its
// path in program, runs the tests, and removes the program. It fails if goroutines remain.
func Main(m *testing.M, program *string) {
	dir, err := os.MkdirTemp("", "program")
	if err == nil {
		*program = filepath.Join(dir, "program.exe") // Windows needs the suffix; other systems ignore it
		var out []byte
		if out, err = exec.CommandContext(context.Background(), "go", "build", "-o", *program, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}
