//go:build !race

package engineio

// raceDetector reports whether the tests run under the race detector.
const raceDetector = false
