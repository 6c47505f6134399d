//go:build !unix || solaris || aix

package interop

// lockFile has nothing to lock with here: install the npm packages once, by npm ci, before packages are tested at the
// same time.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
