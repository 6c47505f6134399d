// Package wire has the payloads of the reserved $mesh packets: the JSON in which a hub and a client of this module
// speak to each other. Package protocol has the packets themselves and the types that users see in payloads: NodeInfo,
// Explanation and Rule. docs/packet-format.md describes each payload for authors of other clients.
//
// It also has Event, the form in which the parts of a node pass events to each other, and the functions that encode
// payloads and control packets.
//
// A payload is a plain value: the package has no state, no lock and no goroutine. The hub, the uplink and the cluster
// import it. The order of the fields and their tags are the format on the wire. The ID of a query, RID, is any JSON
// value at the hub, which copies it into the reply, and a number in this module's queries.
package wire
