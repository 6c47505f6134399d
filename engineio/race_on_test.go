//go:build race

package engineio

// raceDetector says that the tests run under the race detector, where pools lose a part of what is put into them.
const raceDetector = true
