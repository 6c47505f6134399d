package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/bigcompany/mesh/interop/internal/env"
)

// Scripts of the folder node, for startNode.
const (
	EngineServer = "eio-server.js" // argument: the version
	EngineClient = "eio-client.js" // argument: the version
	EngineRaw    = "eio-raw.js"
	MeshNode     = "mesh-node.js"
)

// browserPeer takes a page and a Browser. The page is a version of engine.io-client, meshPage or originalPage.
// visitorPeer takes no arguments.
const (
	browserPeer = "browser.js"
	meshPage    = "mesh"
	visitorPeer = "visitor.js"
)

// RunNode runs a script of the folder node until Kill or until ctx ends. It installs the npm packages first if they are
// missing.
func RunNode(ctx context.Context, script string, args ...string) (*Peer, error) {
	dir, err := InstallNode()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(dir, script)}, args...)...)
	cmd.Dir = dir
	return run(ctx, fmt.Sprintf("%s %v", script, args), cmd)
}

// Browser is the name of a browser that runs the tests' pages.
type Browser string

// The browsers.
const (
	Chromium Browser = "chromium"
	Firefox  Browser = "firefox"
	WebKit   Browser = "webkit" // WebKitGTK
)

// programs returns the programs that the browser needs.
func (b Browser) programs() []string {
	return map[Browser][]string{
		Chromium: {"chromium"}, Firefox: {"firefox-esr"}, WebKit: {"WebKitWebDriver", "Xvfb"},
	}[b]
}

// RunBrowser runs a page in headless Chromium until Quit. The page is a version of engine.io-client, meshPage or
// originalPage. The end of ctx does not kill the process, because the process must remove the browser's folder first.
func RunBrowser(ctx context.Context, page string) (*Peer, error) { return RunPage(ctx, page, Chromium) }

// RunPage is like RunBrowser, for any browser.
func RunPage(ctx context.Context, page string, browser Browser) (*Peer, error) {
	if err := env.Find(browser.programs()...); err != nil {
		return nil, err
	}
	return RunNode(context.WithoutCancel(ctx), browserPeer, page, string(browser))
}

// installTimeout bounds an installation of npm packages.
const installTimeout = 5 * time.Minute

// InstallNode installs the npm packages of the lock file, once in a process, and returns the folder with the scripts.
// Programs that are not tests may call it too.
func InstallNode() (dir string, err error) { return install() }

var install = sync.OnceValues(func() (string, error) { return installPackages("node") })

// installVersions installs old and new versions of Node.js for Linux on x86-64. It returns a folder with each version
// in node_modules/node-VERSION/bin.
var installVersions = sync.OnceValues(func() (string, error) { return installPackages("node", "versions") })

// installPackages installs the npm packages of the lock file in a folder below interop, and returns the folder. It does
// nothing if these packages are installed already.
func installPackages(folder ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(append([]string{root, "interop"}, folder...)...)
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	sum := sha256.Sum256(lock)
	want := hex.EncodeToString(sum[:])

	// Tests of several packages run at the same time, in separate processes.
	unlock, err := lockFile(filepath.Join(dir, ".install.lock"))
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	defer unlock()
	// The mark is a file with the checksum of the installed lock file. npm ci removes it with the rest of node_modules.
	mark := filepath.Join(dir, "node_modules", ".installed")
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("interop: npm ci: %w\n%s", err, out)
	}
	if err := os.WriteFile(mark, []byte(want), 0o644); err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	return dir, nil
}

// moduleRoot returns the nearest folder with a go.mod, starting from the working directory and going up. The working
// directory of a test is the folder of its package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("interop: no go.mod above the working directory")
		}
		dir = up
	}
}
