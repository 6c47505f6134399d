//go:build !soak

package interoptest

// Soak reports that the tests measure nothing that needs an idle machine: see soak_on.go.
const Soak = false
