package mesh_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestMain(m *testing.M) {
	interoptest.RunAtOnce(6)
	goleak.VerifyTestMain(m)
}
