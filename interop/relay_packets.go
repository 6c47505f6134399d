package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// listenBoth listens on one port of the loopback interface for both TCP and UDP. A port that is free for TCP may be in
// use for UDP. Then listenBoth tries another port, up to ten times.
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

// maxPacket is the maximum length of a UDP packet, in bytes.
const maxPacket = 64 << 10

// carryPackets forwards the clients' packets until close. The server sees a different address for each client.
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
				continue // the packet is lost, as UDP allows
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

// carryAnswers forwards the server's packets to one client until close or silence.
func (r *relay) carryAnswers(server net.Conn, client netip.AddrPort) {
	buf := make([]byte, maxPacket)
	for {
		n, err := server.Read(buf)
		if r.isSilent() || errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // otherwise no server listens on the port
			_, _ = r.packets.WriteToUDPAddrPort(buf[:n], client)
		}
	}
}
