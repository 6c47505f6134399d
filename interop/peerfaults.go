package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/engineio"
)

// A fault is a failure between foreign peers, so it is not a fault of this project. Reference pairs show each fault:
// their exchange is run and must fail in the described way.
type fault struct {
	// client and server are versions. An empty version means all versions: the fault is then a fault of the other side
	// alone. It also occurs with our end, and the exchange runs there too.
	client, server string
	// except is a client that does not show the fault.
	except string
	// revision is 3 or 4; 0 means both.
	revision engineio.Revision
	// mode is one of modes; empty means all.
	mode mode
	// cells are the names of exchanges; nil means all.
	cells []string
	// symptoms are parts of the exchange's error. The error must contain at least one of them.
	symptoms []string
	// silent means that the exchange fails by timeout, because an event never comes.
	silent bool
	// unsteady means that the exchanges sometimes succeed. They are not run with our end. A reference pair repeats each
	// of them until it fails, and at least one of its exchanges must fail.
	unsteady bool
	// rare means that the exchanges nearly always succeed. They must succeed, but those of a reference pair may also
	// fail in the described way.
	rare bool
	// reason describes the mistake of the peer. It is a note below the table.
	reason string
}

// faultOf returns the fault that an exchange must show, or nil. Rare faults are left out.
func faultOf(p pair, m mode, c cell) *fault { return findFault(p, m, c, false) }

func findFault(p pair, m mode, c cell, rare bool) *fault {
	for i, f := range peerFaults {
		if f.rare == rare && (f.client == "" || f.client == p.client) && f.except != p.client && (f.server == "" || f.server == p.server) &&
			(f.revision == 0 || f.revision == p.revision) && (f.mode == "" || f.mode == m) &&
			(f.cells == nil || slices.Contains(f.cells, c.name)) {
			return &peerFaults[i]
		}
	}
	return nil
}

// shownBy returns nil if err, the result of an exchange, matches the fault.
func (f *fault) shownBy(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("succeeds, but is listed as a fault: %s", f.reason)
	case !slices.ContainsFunc(f.symptoms, func(s string) bool { return strings.Contains(err.Error(), s) }):
		return fmt.Errorf("does not fail as listed (%q): %w", f.symptoms, err)
	case f.silent && !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("does not fail by silence, as listed: %w", err)
	}
	return nil
}

// peerFaults lists all exchanges that fail because of the peers.
var peerFaults = []fault{
	{
		client:   "1.4.1",
		cells:    []string{"binary", "mixed"},
		symptoms: []string{`got "\x00\x00\x00\x00\x00\x00\x00\x00" (binary true)`},
		reason: "To encode a Buffer in base64, its parser, 1.1.0, indexes the Buffer's ArrayBuffer, which yields zeros. " +
			"In Node.js it requests base64 on every transport.",
	},
	{
		client: "1.4.1", server: "1.4.1", mode: polling,
		cells:    []string{"binary to client"},
		symptoms: []string{`got "\x00\x00\x00\x00\x00\x00\x00\x00" (binary true)`},
		reason:   "The same parser at the server fails for a client that asks for base64. Other clients get the bytes.",
	},
	{
		client: "1.4.1", server: "6.6.13", mode: polling,
		cells:    []string{"unicode"},
		symptoms: []string{`got "Ã`},
		reason: "In polling payloads, parser 1.x encodes text in UTF-8 twice, and later parsers once. A session does not " +
			"show which parser the peer has.",
	},
	{
		client: "1.4.1", server: "6.6.13", mode: upgrade,
		cells:    []string{"unicode"},
		symptoms: []string{`got "Ã`},
		unsteady: true,
		reason:   "The same as with polling only, unless the upgrade ends before the first message.",
	},
	{
		client:   Googollee,
		mode:     upgrade,
		symptoms: []string{"never upgrades"},
		reason:   "Its client connects with the last of its transports and does not upgrade.",
	},
	{
		client: Googollee, mode: polling,
		cells:    []string{"client closes"},
		symptoms: []string{"the other end: interop"},
		silent:   true,
		reason: "Its client sends no close packet and leaves its poll pending. The server notices the end by the ping " +
			"timeout.",
	},
	{
		client: Googollee, server: Googollee, mode: polling,
		cells:    []string{"client silent"},
		symptoms: []string{"googollee: no event [closed]"},
		silent:   true,
		rare:     true,
		reason:   "Rarely its server does not notice that its client is silent.",
	},
	{
		client: Googollee, server: "3.6.2", mode: polling,
		cells:    []string{"unicode"},
		symptoms: []string{`client: got "Ã`},
		reason: "It reads the length in a text payload as bytes, but the length counts UTF-16 code units. It reads the " +
			"binary form, which engine.io 1.x sends, correctly.",
	},
	{
		client: "3.5.4", server: Googollee, mode: polling,
		cells:    []string{"unicode"},
		symptoms: []string{`server: got "Ã`},
		reason:   "Its server has the same fault. It reads the binary form correctly.",
	},
	{
		server: Googollee, except: Googollee, mode: polling,
		cells:    []string{"server closes"},
		symptoms: []string{`the other end: reason "transport error"`},
		reason: "Its server ends a session without a close packet. The pending poll, or the next one, gets an error. Its " +
			"own client reports no reasons, and so does not show the fault.",
	},
	{
		server: Googollee, mode: upgrade,
		cells:    []string{"text", "unicode", "binary", "mixed", "500 KB", "300 in order"},
		symptoms: []string{"server: ", "post error: 400"},
		unsteady: true,
		reason: "During an upgrade its server often loses the messages of a POST and all messages after it, or ends the " +
			"session with status 400 and the text \"payload: paused\". After the upgrade it works.",
	},
	{
		server: Googollee, mode: upgrade,
		cells:    []string{"client silent", "server silent"},
		symptoms: []string{"post error: 400"},
		rare:     true,
		reason:   "The same fault with a ping.",
	},
	{
		server: "6.6.13", revision: engineio.Revision3, mode: upgrade,
		cells:    []string{"client silent"},
		symptoms: []string{"eio-server.js [6.6.13]: no event [closed]"},
		silent:   true,
		reason: "In revision 3 an upgrade discards the server's ping timer, and the server starts no new one. A session " +
			"that has upgraded never times out.",
	},
}
