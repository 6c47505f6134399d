// Package interop runs foreign peers, which this project did not write, and tests this project against them: the
// original Node.js mesh, engine.io and engine.io-client in several generations, googollee's Go library, and
// python-engineio. Each peer runs in a separate process.
//
// A peer reads commands as JSON lines from its standard input and writes events as JSON lines to its standard output.
// The scripts in the folders node and python and the program in the folder googollee list their commands and events.
// [RunNode] and [RunGoogollee] start a peer. [Peer.Endpoint] names a new server, session or node inside the peer,
// [Endpoint.Do] sends a command, and [Endpoint.Await] waits for an event. When a test ends, its helpers kill the peer
// and wait for its end. If the test failed, they log the peer's standard error.
//
// This package does not import testing, because the commands below it use it too. Package interoptest helps tests.
//
// The command in the folder matrix and the tests exchange messages between each Engine.IO peer and this project's
// client or server, and between pairs of foreign peers.
//
// Other tests run several hubs as processes, with a real nats-server or with the NATS server inside the command mesh,
// and inject faults into them: see docs/cluster.md.
//
// Some tests put a real proxy, such as nginx or haproxy, in front of their server. Each proxy runs in a separate
// process.
//
// The tests install the npm packages that the Node.js peers need. They install them from the lock file if the packages
// are missing or if another lock file was installed. If Node.js, Chromium or a proxy is missing, the tests that need it
// are skipped, and the reason is printed. With INTEROP=require or INTEROP=full in the environment they fail instead.
package interop
