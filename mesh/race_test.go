//go:build race

package mesh_test

// raceDetector is true if the race detector is on, which makes pools drop some of their items.
const raceDetector = true
