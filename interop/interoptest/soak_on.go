//go:build soak

package interoptest

// Soak reports whether the tests also measure memory and time, which needs an idle machine: see docs/testing.md.
const Soak = true
