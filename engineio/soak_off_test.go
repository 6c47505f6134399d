//go:build !soak

package engineio_test

// soak reports that the tests measure nothing that needs an idle machine: see soak_on_test.go.
const soak = false
