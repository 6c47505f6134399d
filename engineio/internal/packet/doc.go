// Package packet reads and writes Engine.IO packets and polling payloads, in revisions 3 and 4 of the protocol.
//
// The package has no I/O, no goroutines and no state. Any number of goroutines may call its functions at once.
//
// # Forms
//
// A single packet is the body of one WebSocket frame: [AppendText] and [ParseText] handle text frames, [AppendBinary]
// and [ParseBinary] handle binary frames. One or more packets in the body of a polling request or response are a
// payload: [AppendPayload] and [ParsePayload] handle payloads.
//
//	                  revision 4      revision 3 (n counts UTF-16 code units)   revision 3, Binary
//	"hi"              4hi             3:4hi                                     00 03 ff '4' 'h' 'i'
//	"é€😀"            4é€😀           5:4é€😀, or in TextDoubleUTF8 10:4 and    00 01 00 ff '4' and the nine bytes
//	                                  the nine bytes as nine code points
//	01 02 03 04       bAQIDBA==       10:b4AQIDBA==                             01 05 ff 04 01 02 03 04
//	joined by         0x1e            nothing                                   nothing
//	binary frame      the bytes       04 and the bytes
//
// Revision 3 has two dialects of text in its text payloads, [Text] and [TextDoubleUTF8], and the wire format does not
// distinguish them. [IsDoubleUTF8], [IsSingleUTF8] and [DecodeDoubleUTF8] help a caller to detect the dialect of a
// peer. The functions treat a revision other than [Revision3] as [Revision4]. Revision 4 has one payload form, so the
// functions ignore the [Encoding].
//
// # Encoders
//
// Encoders append to dst and return the longer slice. They allocate memory only for its growth. They do not check their
// input. Text must be valid UTF-8, or the lengths of revision 3 are wrong. In a payload of revision 4, text also must
// not contain 0x1e, because the protocol cannot escape its separator and the peer would split the text there. JSON
// never contains 0x1e.
//
// # Parsers
//
// Parsers accept input from hostile peers. They never panic, they take time linear in the input, and they allocate
// memory for the bytes that are present, never for a claimed length. They return either the whole input or nothing.
// Their errors are *[SyntaxError], which has the exact offset and one of the Err… values. [MaxPackets] bounds a
// payload. The caller reads the bytes, and must bound their number.
//
// Packet.Data of a text packet, and of a binary packet that was not base64, aliases the input and is valid only as long
// as the input. Its capacity ends with it, so appending to it never overwrites the next packet. Decoded data (from
// base64, or from TextDoubleUTF8 beyond ASCII) is newly allocated. Empty data is nil.
//
// The parsers are as strict as the protocol. The JavaScript parsers also accept payloads without packets ("0:"),
// lengths such as "0x3", any marker byte in binary payloads, line breaks and foreign characters in base64, and binary
// data in packets other than messages. None of them writes a packet of this package in such a form. Unpaired
// surrogates, which a JavaScript string may contain, have no UTF-8 form. Parser 1.x writes them anyway in its text
// payloads; this package rejects such text.
//
// # Where the rules come from
//
// The rules come from the Engine.IO protocol documents for revisions 3 and 4
// (https://github.com/socketio/engine.io-protocol, branches v3 and main). Where these are silent or wrong, the rules
// come from the observed output and input of engine.io-parser 1.1.0, 1.3.2, 2.2.1 and 5.2.3. testdata/vectors.json
// holds their output; interop/node/vectors generates it.
package packet
