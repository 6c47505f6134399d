// Package packet reads and writes Engine.IO packets and polling payloads, in revisions 3 and 4 of the protocol.
//
// It is pure: bytes in, values out. There is no I/O, no goroutine and no state, so every function may be called from
// any number of goroutines at once.
//
// # Forms
//
// A packet alone is the body of one WebSocket frame: [AppendText] and [ParseText] for text frames, [AppendBinary] and
// [ParseBinary] for binary ones. One or more packets in the body of a polling request or answer are a payload:
// [AppendPayload] and [ParsePayload].
//
//	                  revision 4      revision 3 (n counts UTF-16 code units)   revision 3, Binary
//	"hi"              4hi             3:4hi                                     00 03 ff '4' 'h' 'i'
//	"é€😀"            4é€😀           5:4é€😀, or in TextTwice 10:4 and the      00 01 00 ff '4' and the nine bytes
//	                                  nine bytes as nine code points
//	01 02 03 04       bAQIDBA==       10:b4AQIDBA==                             01 05 ff 04 01 02 03 04
//	joined by         0x1e            nothing                                   nothing
//	binary frame      the bytes       04 and the bytes
//
// Revision 3 has two dialects of text in its text payloads, [Text] and [TextTwice], and nothing on the wire tells them
// apart; [WitnessTwice], [WitnessOnce] and [FoldTwice] help a caller who has to find out from what a peer sends.
// A revision other than [Revision3] is taken for [Revision4], which has one payload form: its [Encoding] is ignored.
//
// # Encoders
//
// Encoders append to dst, return the longer slice and allocate nothing but its growth. They do not check what they are
// given. Text must be valid UTF-8: otherwise the lengths of revision 3 are wrong. In a payload of revision 4 it must
// not contain 0x1e either, since the protocol cannot escape its separator and the peer would split the text there; JSON
// never contains it.
//
// # Parsers
//
// Parsers take what a hostile peer sends. They never panic, need time linear in the input, and allocate for what is
// there, never for what a length claims. What they return is the whole input or nothing. Their errors are
// *[SyntaxError], which holds the exact offset and one of the Err… values. [MaxPackets] bounds a payload; bounding
// the bytes is up to the caller, who reads them.
//
// Packet.Data of a text packet, and of a binary one that was not base64, aliases the input and is valid only as long
// as that is; its capacity ends with it, so that appending to it never overwrites the next packet. Data that has to be
// decoded (base64, TextTwice beyond ASCII) is freshly allocated. Empty data is nil.
//
// The parsers are as strict as the protocol. The JavaScript parsers let pass what these refuse: a payload of no packets
// ("0:"), lengths such as "0x3", any marker byte in binary payloads, line breaks and foreign characters in base64, and
// packets other than messages with binary data. No packet that this package can hold is written so by any of them.
// Unpaired surrogates, which a JavaScript string may hold, have no UTF-8 form; parser 1.x writes them anyway in its text
// payloads, and such text is refused.
//
// # Where the rules come from
//
// From the Engine.IO protocol documents for revisions 3 and 4
// (https://github.com/socketio/engine.io-protocol, branch v3 and main), and, where those are silent or wrong, from what
// engine.io-parser 1.1.0, 1.3.2, 2.2.1 and 5.2.3 were seen to write and accept. testdata/vectors.json holds their
// output; interop/node/vectors makes it.
package packet
