package interop

// Googollee stands where a version does: v1.4.2 of googollee's library, the last one.
const Googollee = "googollee"

// Fault is something that does not work between peers we did not write, and so is no test of ours. The reference tests
// run it, and expect it to fail in this way.
type Fault struct {
	// Client and Server are versions of engine.io-client and engine.io, or Googollee. An empty one means all: the
	// fault is then the other side's own, and happens with our end too.
	Client, Server string
	// Except is a client with which it does not show.
	Except string
	// Mode is polling, websocket or upgrade; empty means all.
	Mode string
	// Cells are the names of exchanges; nil means all.
	Cells []string
	// Symptom is a part of the error that the exchange ends in.
	Symptom string
	// Silent tells that the symptom is that something never comes.
	Silent bool
	// Unsteady tells that the exchange sometimes succeeds: it is not run at all.
	Unsteady bool
	// Reason is what the peer does wrong.
	Reason string
}

// PeerFaults lists every exchange that is the peers' own failure.
var PeerFaults = []Fault{
	{
		Client:  "1.4.1",
		Cells:   []string{"binary"},
		Symptom: `got "\x00\x00\x00\x00\x00\x00\x00\x00" (binary true)`,
		Reason: "Its parser, 1.1.0, copies a Buffer for base64 by indexing the ArrayBuffer below it, which yields zeros; " +
			"from Node it asks for base64 on every transport.",
	},
	{
		Client: "1.4.1", Server: "1.4.1", Mode: "polling",
		Cells:   []string{"binary to the client"},
		Symptom: `got "\x00\x00\x00\x00\x00\x00\x00\x00" (binary true)`,
		Reason:  "The same parser on the other side, towards a client that asks for base64. Other clients get the bytes.",
	},
	{
		Client: "1.4.1", Server: "6.6.12", Mode: "polling",
		Cells:   []string{"unicode"},
		Symptom: `got "Ã©`,
		Reason: "Parser 1.x encodes text in UTF-8 twice in polling payloads, parser 2.x and its successors once, and a " +
			"session does not tell which.",
	},
	{
		Client: "1.4.1", Server: "6.6.12", Mode: "upgrade",
		Cells:    []string{"unicode"},
		Unsteady: true,
		Reason:   "As with polling only, unless the upgrade is over before the first message leaves.",
	},
	{
		Client:  Googollee,
		Mode:    "upgrade",
		Symptom: "never upgrades",
		Reason:  "Its client dials the last of its transports and stays there.",
	},
	{
		Client: Googollee, Mode: "polling",
		Cells:   []string{"client closes"},
		Symptom: "the other end: interop",
		Silent:  true,
		Reason:  "Its client sends no close packet and leaves its poll pending: the server learns of it by the ping timeout.",
	},
	{
		Client: Googollee, Server: "3.6.2", Mode: "polling",
		Cells:   []string{"unicode"},
		Symptom: `client: got "é`,
		Reason: "It takes the length in a text payload for bytes, where it counts UTF-16 code units. It reads the binary " +
			"form, in which engine.io 1.x answers, as it should.",
	},
	{
		Client: "3.5.4", Server: Googollee, Mode: "polling",
		Cells:   []string{"unicode"},
		Symptom: `server: got "é`,
		Reason:  "The same on its server. It reads the binary form as it should.",
	},
	{
		Server: Googollee, Except: Googollee, Mode: "polling",
		Cells:   []string{"server closes"},
		Symptom: `the other end: reason "transport error"`,
		Reason: "It ends the session without a close packet; the pending poll, or the next one, gets an error. Its own " +
			"client gives no reasons.",
	},
	{
		Server: Googollee, Mode: "upgrade",
		Cells:    []string{"text", "unicode", "binary", "500 KB", "300 in order"},
		Unsteady: true,
		Reason: "What reaches its server by POST while the upgrade is under way is mostly never delivered, nor anything " +
			"after it. After the upgrade all is well.",
	},
}
