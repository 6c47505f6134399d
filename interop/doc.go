// Package interop holds tests against peers that this project did not write: the original Node.js mesh, engine.io and
// engine.io-client in three generations each, and googollee's Go library. Each peer runs as a process of its own.
//
// A peer takes commands as JSON lines on its standard input and reports events as JSON lines on its standard output;
// the scripts in the folder node and the program in the folder googollee say which. [StartNode] and [StartGoogollee]
// start one, [Peer.Endpoint] names one server, session or node inside it, [Endpoint.Do] sends a command and
// [Endpoint.Await] waits for an event. A peer is killed, and waited for, when its test ends; what it wrote to standard
// error is shown if the test failed.
//
// Real proxies, nginx and haproxy, stand between in some tests, each a process before the test's own server.
//
// The npm packages that the Node peers need are installed by the tests themselves, from the lock file, when they are
// missing or another lock was installed. Without Node.js or a proxy its tests are skipped, and the reason is printed;
// with INTEROP=require in the environment they fail instead.
package interop
