//go:build race

package engineio

// raceDetector reports that the tests run under the race detector. Under it, pools lose some of their objects.
const raceDetector = true
