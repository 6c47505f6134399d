package interoptest

import (
	"flag"
	"runtime"
	"strconv"
)

// RunAtOnce makes the tests of a package that call Parallel run n at a time or more, unless the flag -parallel is given.
// TestMain calls it. A package whose tests wait for timers or for other processes sets n above the number of cores of a
// small machine.
func RunAtOnce(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(max(n, runtime.GOMAXPROCS(0)))) // the flag accepts each number
	}
}
