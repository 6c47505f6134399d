// Package interop runs peers that this project did not write, and holds tests against them: the original Node.js mesh,
// engine.io and engine.io-client in several generations each, and googollee's Go library. Each peer runs as a process of
// its own.
//
// A peer takes commands as JSON lines on its standard input and reports events as JSON lines on its standard output;
// the scripts in the folder node and the program in the folder googollee say which. [RunNode] and [RunGoogollee] start
// one, [StartNode] does until a test ends, [Peer.Endpoint] names one server, session or node inside it, [Endpoint.Do]
// sends a command and [Endpoint.Await] waits for an event. The peer of a test is killed, and waited for, when the test
// ends; what it wrote to standard error is shown if the test failed.
//
// The command in the folder matrix, and its tests, have every Engine.IO peer exchange messages with this project's ends,
// and with each other.
//
// Several hubs are tested as processes, with a real nats-server and with the one in the command, and with what may happen to
// them: see docs/cluster.md.
//
// Real proxies, nginx and haproxy, stand between in some tests, each a process before the test's own server.
//
// The npm packages that the Node peers need are installed by the tests themselves, from the lock file, when they are
// missing or another lock was installed. Without Node.js, Chromium or a proxy its tests are skipped, and the reason is
// printed; with INTEROP=require in the environment they fail instead.
package interop
