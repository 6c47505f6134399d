//go:build race

package engineio_test

// raceDetector reports that the tests run under the race detector. Under it, pools lose some of their objects.
const raceDetector = true
