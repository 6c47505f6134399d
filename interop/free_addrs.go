package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
)

// FreeAddrs returns n different addresses, each a host and a port, at which a program that starts later can listen. On
// Linux they are on a loopback address that belongs to this process alone. So neither a listener of another process nor
// an outgoing connection takes a port before the program has started.
func FreeAddrs(ctx context.Context, n int) (addrs []string, err error) {
	host := "127.0.0.1"
	if pid := os.Getpid(); runtime.GOOS == "linux" {
		host = fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)
	}
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
