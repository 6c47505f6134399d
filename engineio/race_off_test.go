//go:build !race

package engineio

// raceDetector says whether the tests run under the race detector.
const raceDetector = false
