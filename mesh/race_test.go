//go:build race

package mesh_test

// raceDetector makes pools forget part of what they are given.
const raceDetector = true
