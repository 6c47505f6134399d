package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	claimed = 900 << 10 // bytes of a message, as its header says
	begun   = 40 << 10  // bytes of it that the attacker sends
)

// unadmitted begins large messages on many connections without credentials, and finishes none.
var unadmitted = attack{
	name:     "unadmitted",
	short:    "300 connections without credentials each send 40 KB of a message that claims 900 KB",
	hub:      []string{"--user", "member"},
	env:      []string{"MESH_PASSWORD=secret"},
	user:     "member",
	password: "secret",
	large:    true,
	act: func(ctx context.Context, t *target) error {
		var wait, first sync.WaitGroup
		for range t.of(300, 30) {
			first.Add(1)
			arrived := sync.OnceFunc(first.Done)
			wait.Go(func() {
				for ctx.Err() == nil { // a hub may end the connection
					beginLarge(ctx, t, arrived)
					arrived()
				}
			})
		}
		first.Wait()
		t.ready()
		wait.Wait()
		return nil
	},
}

// beginLarge sends the beginning of a large message, and waits until the hub closes the connection. An honest client
// presents credentials, and sends a whole message of that size.
func beginLarge(ctx context.Context, t *target, sent func()) {
	conn, _, _, err := ws.Dial(ctx, "ws://"+t.addr+"/engine.io/?EIO=3&transport=websocket")
	if err != nil {
		pause(ctx, 100*time.Millisecond)
		return
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if t.honest {
		_ = write(conn, `4{"event":"handshake","payload":{},"headers":{"auth":{"user":"member","password":"secret"}}}`, 0)
		err = write(conn, `4{"event":"honest","payload":"`+strings.Repeat("x", begun)+`"}`, 0)
	} else {
		err = write(conn, `4{"event":"handshake","payload":"`+strings.Repeat("x", begun), claimed)
	}
	if err != nil {
		return
	}
	sent()
	var b [4 << 10]byte
	for err == nil {
		_, err = conn.Read(b[:])
	}
}

// write writes a masked text frame. Its header claims a length, if that is not 0.
func write(conn net.Conn, text string, length int64) error {
	if length == 0 {
		length = int64(len(text))
	}
	h := ws.Header{Fin: true, OpCode: ws.OpText, Masked: true, Length: length} // with a mask of zeros
	if err := ws.WriteHeader(conn, h); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
