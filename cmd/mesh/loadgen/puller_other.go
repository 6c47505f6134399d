//go:build !unix

package loadgen

import "net"

func newTCPPuller(conn *net.TCPConn) (puller, error) { return &buffered{conn: conn}, nil }
