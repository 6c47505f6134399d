package mesh_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
)

// severalHosts returns a host name with two addresses of this machine, and the addresses in sorted order.
func severalHosts(t *testing.T) (name string, hosts []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not assign 127.0.0.2 to the machine")
	}
	hosts = []string{"127.0.0.1", "127.0.0.2"}
	return nameOf(t, hosts...), hosts
}

// nameOf returns a host name with these addresses. It is valid for the duration of the test, which must not be parallel
// to others.
func nameOf(t *testing.T, hosts ...string) string {
	t.Helper()
	standard := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = standard })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			answerDNS(server, hosts)
		}()
		return client, nil
	}}
	return "name.test"
}

// answerDNS responds to one query over a stream: to a query for IPv4 addresses with the hosts, and to others with none.
func answerDNS(conn net.Conn, hosts []string) {
	const header, typeA, classIN = 12, 1, 1
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	end := header
	for query[end] != 0 { // the labels of the name
		end += 1 + int(query[end])
	}
	end += 1 + 4 // the root, the type and the class
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
	if binary.BigEndian.Uint16(query[end-4:]) == typeA {
		answer[7] = byte(len(hosts))
		for _, host := range hosts {
			answer = append(answer, 0xc0, header, 0, typeA, 0, classIN, 0, 0, 0, 60, 0, 4)
			answer = append(answer, netip.MustParseAddr(host).AsSlice()...)
		}
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) // fails if the client has gone
}
