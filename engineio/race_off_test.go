//go:build !race

package engineio_test

// raceDetector reports whether the tests run under the race detector.
const raceDetector = false
