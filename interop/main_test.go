package interop

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestMain(m *testing.M) {
	interoptest.RunAtOnce(3)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		RemoveBuilds()
		os.Exit(code)
	}))
}
