package packet_test

import (
	"fmt"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func ExampleAppendPayload() {
	text := packet.Packet{Type: packet.Message, Data: []byte("hi")}
	binary := packet.Packet{Type: packet.Message, Binary: true, Data: []byte{1, 2, 3, 4}}
	fmt.Printf("%q\n", packet.AppendPayload(nil, packet.Revision4, packet.Text, text, binary))
	fmt.Printf("%q\n", packet.AppendPayload(nil, packet.Revision3, packet.Text, text, binary))
	fmt.Printf("%q\n", packet.AppendPayload(nil, packet.Revision3, packet.Binary, binary))
	// Output:
	// "4hi\x1ebAQIDBA=="
	// "3:4hi10:b4AQIDBA=="
	// "\x01\x05\xff\x04\x01\x02\x03\x04"
}

func ExampleParsePayload() {
	packets, err := packet.ParsePayload(packet.Revision4, packet.Text, []byte("4hi\x1ebAQIDBA==\x1e3"))
	for _, p := range packets {
		fmt.Printf("%d %t %q\n", p.Type, p.Binary, p.Data)
	}
	fmt.Println(err)

	_, err = packet.ParsePayload(packet.Revision4, packet.Text, []byte("4hi\x1e7x"))
	fmt.Println(err)
	// Output:
	// 4 false "hi"
	// 4 true "\x01\x02\x03\x04"
	// 3 false ""
	// <nil>
	// engineio: invalid packet type at offset 4
}

func ExampleParseText() {
	p, err := packet.ParseText(packet.Revision4, []byte("2probe"))
	fmt.Printf("%t %q %v\n", p.Type == packet.Ping, p.Data, err)
	// Output: true "probe" <nil>
}
