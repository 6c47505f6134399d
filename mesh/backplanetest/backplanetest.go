// Package backplanetest has the tests that every mesh.Backplane must pass. Call Run in a test of an implementation:
//
//	func TestBackplane(t *testing.T) {
//		backplanetest.Run(t, func(t *testing.T) func() mesh.Backplane {
//			srv := startServer(t) // stopped by t.Cleanup
//			return func() mesh.Backplane { return mybackplane.New(srv.connect(t)) }
//		})
//	}
//
// The tests check the contract in package mesh, and a few further requirements:
//   - The backplane loses nothing while at most 64 small messages, or one large message, are in flight.
//   - It carries data of 1,000,100 bytes.
//   - It calls unheard if no member, or only the publisher, has subscribed to the name.
//   - It limits the messages that wait for a member to about 150 MB.
//   - No goroutine remains after a test's cleanup.
//
// Run the tests with the race detector.
package backplanetest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/mesh"
)

// Run tests a backplane. For each test it calls open, which starts a mesh without members and stops it in t.Cleanup.
// Run calls the function that open returns once for each member, to get the backplane that the member joins. The
// function returns the same backplane each time if one backplane can have several members, and otherwise a new one with
// its own connection.
func Run(t *testing.T, open func(t *testing.T) func() mesh.Backplane) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"Interest", testInterest},
		{"OverlappingPatternsDeliverOnce", testOverlap},
		{"OwnNamesAreMatchedByNoPattern", testOwnNames},
		{"NoEcho", testNoEcho},
		{"OrderWhileSubscriptionsChange", testOrder},
		{"FourPublishersAtOnce", testFourPublishers},
		{"Causality", testCausality},
		{"AnyName", testAnyName},
		{"AnyData", testAnyData},
		{"Unheard", testUnheard},
		{"SlowMember", testSlowMember},
		{"CloseSendsWhatWasPublished", testCloseSends},
		{"NothingIsReceivedAfterClose", testCloseReceives},
		{"Rejoin", testRejoin},
		{"EveryMethodAtOnce", testEveryMethodAtOnce},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) }) // runs last
			test.run(t, &world{t: t, next: open(t)})
		})
	}
}
