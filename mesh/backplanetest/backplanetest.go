// Package backplanetest has the tests that every mesh.Backplane must pass. They are for those who write one:
//
//	func TestBackplane(t *testing.T) {
//		backplanetest.Run(t, func(t *testing.T) func() mesh.Backplane {
//			srv := startServer(t) // stopped by t.Cleanup
//			return func() mesh.Backplane { return mybackplane.New(srv.connect(t)) }
//		})
//	}
//
// They ask for what the contract in package mesh says, and for a little more: that nothing is lost while no more than 64
// small messages, or one large one, are on their way; that data of 1,000,100 bytes is carried; that unheard is called if
// nobody has subscribed to the name, or its publisher alone; that what waits for a member is bounded by some 150 MB. Once a
// test's cleanup has run, no goroutine may remain. Run them with the race detector.
package backplanetest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/mesh"
)

// Run tests a backplane. For each test it calls open, which starts a mesh without members, to be stopped by t.Cleanup. What
// open returns is called once for each member, and returns the backplane that this one is to join: always the same, if
// that can have several members, or one with a connection of its own.
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
