//go:build !unix

package loadgen

// RaiseFileLimit returns how many files this process may have open; here there is no limit to raise.
func RaiseFileLimit() (int, error) { return 1 << 30, nil }
