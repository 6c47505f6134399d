// Package protocol reads and writes the packets of the mesh: the JSON between a hub and its clients, event tables, and
// the names and patterns of events. The format is the format of the original Node.js mesh, resource-mesh 0.5.1, with
// extensions that the original's hub and clients ignore. docs/packet-format.md describes it for authors of other
// clients.
//
// The package takes bytes and returns values: it does no I/O and starts no goroutine. Only a Parser has state. All
// functions are safe for concurrent use. Methods are safe for concurrent use on values that no goroutine modifies.
//
// # Packets
//
// Parse reads a packet in one pass and checks all of it. A relayed payload is therefore always valid JSON, and always
// has the sender's exact bytes. Parse leaves two fields raw because a hub may not need them: the payload, and the event
// table, which the original's clients repeat in each packet. A Parser does the same for the packets of one connection,
// and allocates nothing for repeated values.
//
// The package accepts JSON strictly as RFC 8259 defines it, in valid UTF-8 and without a byte order mark. Where the RFC
// leaves a choice, Parse does the same as JSON.parse in the original. The last of several members with the same name
// counts. A name may contain escapes. Upper and lower case differ. A payload may hold half a surrogate pair (`\ud800`),
// which Parse leaves as it is. In an event name, half a pair is an error: Go strings cannot hold it, and U+FFFD in its
// place would turn two names into one. Parse does not interpret the numbers in a payload, so they lose no digits.
//
// # Optional fields
//
// A packet needs an event, which is a non-empty string. Every other field may be absent or of any type. A field of a
// wrong type counts as absent, see Packet, Headers and ParseEventTable. In particular, a packet without a payload, with
// a null payload, or without headers is valid.
//
// # Limits
//
// The constants Max… bound depth and sizes. Nothing recurses, and no allocation depends on a size that the input
// claims. Errors are *SyntaxError with the offset of the faulty byte, and never quote the input.
//
// # Names
//
// `::` separates the parts of a name. A listener may use `*` for one part and `**` for any number of parts, see Match.
// CheckEmit checks a name to emit, and so also a name to relay. CheckListen checks a name or pattern to subscribe to.
// Reserved reports the names that only the protocol itself uses.
//
// # Credentials
//
// A packet from a client can carry a password and the key of its identity. Headers, Auth and Hello print, log and
// marshal without them; only AppendPacket writes them.
//
// # Compatibility
//
// The original has the fields event, payload, eventTable and headers.auth. The extensions are the fields from, n, rid
// and headers.mesh, the reserved packets NameHello, NameUnauthorized and the other $mesh names, and patterns in event
// tables. A node uses them only with a peer that offered Hello. Patterns are the exception: a hub of the original takes
// them for names that never occur.
package protocol
