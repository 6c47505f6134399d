//go:build soak

package engineio_test

// soak reports whether the tests also measure memory, goroutines and time, which needs an idle machine.
const soak = true
