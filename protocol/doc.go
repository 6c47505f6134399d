// Package protocol is the mesh's packet: the JSON that crosses the wire between a hub and its clients, event tables,
// and the names and patterns of events. It is that of the original Node.js mesh, resource-mesh 0.5.1, with extensions
// that its hub and its clients ignore. docs/packet-format.md describes it for those who write another client.
//
// Bytes go in and values come out: the package does no I/O, starts no goroutine and keeps no state but that of a
// Parser. All functions are safe for concurrent use, as are the methods on values that nobody modifies.
//
// # Packets
//
// Parse reads a packet in one pass, in which it checks the whole of it: a payload that is relayed is always valid JSON,
// and always the bytes that the sender wrote. What a hub may not need is left raw: the event table, which the
// original's clients repeat in each packet, and the payload. A Parser does the same for the packets of one connection,
// and allocates nothing for what repeats.
//
// JSON is taken strictly as RFC 8259 has it, in valid UTF-8 and without a byte order mark. Where that leaves a choice,
// Parse chooses as JSON.parse in the original does: the last of several members with the same name counts, a name may
// be written with escapes, upper and lower case differ, and a payload may hold half a surrogate pair (`\ud800`), which
// is passed on as it is. In an event name such a half is an error: Go strings cannot hold it, and to put U+FFFD there
// would make one name out of two. Numbers in a payload are not looked into, so that they lose no digits.
//
// # What may be missing
//
// A packet needs an event, a string that is not empty; everything else may be absent or of any type. Types that make
// no sense mean that the field is absent, see Packet, Headers and ParseEventTable. In particular a packet without a
// payload, or whose payload is null, or without headers, is none that would end a hub.
//
// # Limits
//
// Depth and sizes are bounded by the constants Max…. Nothing recurses, and nothing is allocated by what the input
// claims. Errors are *SyntaxError with the offset of the byte that is to blame, and never quote what they were given.
//
// # Names
//
// The parts of a name are separated by `::`. A listener may give `*` for one part and `**` for any number of them, see
// Match. CheckEmit says what may be emitted, and so what a hub relays, CheckListen what one may listen to, Reserved
// which names the protocol keeps for itself.
//
// # Credentials
//
// A packet from a client can carry a password and the key of its identity. Headers, Auth and Hello print, log and
// marshal without them; only AppendPacket writes them.
//
// # Compatible, and beyond
//
// The original has the fields event, payload, eventTable and headers.auth. The extensions are the fields from, rid and
// headers.mesh, the reserved packets NameHello, NameUnauthorized and NameUnheard, and patterns in event tables. They are used only
// with a peer that offered Hello, patterns excepted, which a hub of the original's takes for names that never occur.
package protocol
