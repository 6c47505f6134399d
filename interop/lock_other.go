//go:build !unix || solaris || aix

package interop

// lockFile does nothing on this system. Install the npm packages with npm ci before you test several packages at the
// same time.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
