package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
)

// unread requests a large file many times on each of a few connections and never reads a response.
var unread = attack{
	name:  "unread",
	short: "20 connections request /mesh.mjs 400 times each and read nothing",
	act: func(ctx context.Context, t *target) error {
		for range t.of(20, 4) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.addr)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if t.honest {
				go func() { _, _ = io.Copy(io.Discard, conn) }()
			}
			request := fmt.Sprintf("GET /mesh.mjs HTTP/1.1\r\nHost: %s\r\n\r\n", t.addr)
			go func() { _, _ = io.WriteString(conn, strings.Repeat(request, t.of(400, 50))) }()
		}
		t.ready()
		<-ctx.Done()
		return nil
	},
}
