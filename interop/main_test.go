package interop

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// testsAtOnce is the least number of tests that run at the same time, unless the flag -parallel is given. It is more
// than the cores of a small machine, because many tests wait for a timer or for another process.
const testsAtOnce = 3

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(max(testsAtOnce, runtime.GOMAXPROCS(0)))) // the flag accepts each number
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		RemoveBuilds()
		os.Exit(code)
	}))
}
