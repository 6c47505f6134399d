package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// listenBoth listens on a port of the loopback interface, on TCP and on UDP. What is free on TCP may be a client's on UDP:
// then it is another port's turn.
func listenBoth(ctx context.Context) (tcp net.Listener, udp *net.UDPConn, err error) {
	for range 10 {
		tcp, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			break
		}
		address := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tcp.Addr().String()))
		if udp, err = net.ListenUDP("udp", address); err == nil {
			return tcp, udp, nil
		}
		_ = tcp.Close()
	}
	return nil, nil, fmt.Errorf("interop: no port that is free on TCP and UDP: %w", err)
}

// maxPacket is as long as a UDP packet may be.
const maxPacket = 64 << 10

// carryPackets carries what clients send until close. The server sees each of them as an address of its own.
func (r *relay) carryPackets(ctx context.Context) {
	flows := make(map[netip.AddrPort]net.Conn)
	buf := make([]byte, maxPacket)
	for {
		n, client, err := r.packets.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || r.isSilent() {
			continue
		}
		server := flows[client]
		if server == nil {
			if server, err = new(net.Dialer).DialContext(ctx, "udp", r.target.Host); err != nil {
				continue // lost, as packets may be
			}
			if !r.keep(server) {
				return
			}
			flows[client] = server
			r.running.Go(func() { r.carryAnswers(server, client) })
		}
		r.pass()
		_, _ = server.Write(buf[:n])
	}
}

// carryAnswers carries what the server sends to one client until close or silence.
func (r *relay) carryAnswers(server net.Conn, client netip.AddrPort) {
	buf := make([]byte, maxPacket)
	for {
		n, err := server.Read(buf)
		if r.isSilent() || errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // nobody listens there, otherwise
			_, _ = r.packets.WriteToUDPAddrPort(buf[:n], client)
		}
	}
}
