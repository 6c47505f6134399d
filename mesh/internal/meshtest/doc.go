// Package meshtest is the kit for the tests of mesh: peers that follow a script, and parts of a network that a test can
// break. Only tests import it. It speaks the wire format, by packages engineio and protocol, and does not import mesh.
// So tests of mesh and of every package under mesh/internal can use it.
//
//   - [Session] is one side of an Engine.IO session: it sends packets and records the packets that arrive. [Dial] connects
//     a Session to a hub as a client of any version.
//   - [Hub] is a hub that does only what the test says. Each client that connects is a Session.
//   - [LegacyHub] behaves as a hub of the original does.
//   - [Network] is an in-memory network for tests in a bubble of testing/synctest.
//   - [Proxy] forwards TCP connections, and breaks them.
//   - [Recorder] collects values that callbacks report, and [Log] collects log lines.
//   - [DialRaw] and [DialPolling] connect clients below Engine.IO: the test writes frames, or decides when to poll.
//
// A function that takes a testing.TB fails the test when its own work fails, and registers a cleanup for everything that
// it opens. It must run on the goroutine of the test. Functions and methods that wait give up after [Patience].
package meshtest
