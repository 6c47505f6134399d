package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// kind is one way to occupy a connection without credentials.
type kind struct {
	name string
	tls  bool
	idle bool // the connection waits for another request
	open func(ctx context.Context, addr string) (net.Conn, error)
}

var kinds = []kind{
	{name: "idle TCP", open: sends("")},
	{name: "half a request head", open: sends("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10))},
	{name: "half a TLS hello", tls: true, open: sends("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + strings.Repeat("x", 8<<10))},
	{name: "polling handshake, no poll", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, _, err := session(ctx, addr, true)
		return conn, err
	}},
	{name: "open poll", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, sid, err := session(ctx, addr, false)
		if err != nil {
			return nil, err
		}
		_, err = fmt.Fprintf(conn, "GET /engine.io/?EIO=3&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", sid)
		return conn, err
	}},
	{name: "WebSocket, idle", open: webSocket("", "")},
	{name: "WebSocket, muted", open: webSocket("", `4{"event":"handshake","headers":{"auth":{"user":"x","password":"x"}}}`)},
	{name: "half a WebSocket frame", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := webSocket("", "")(ctx, addr)
		if err == nil {
			err = write(conn, "4"+strings.Repeat("x", 62<<10), 63<<10)
		}
		return conn, err
	}},
	{name: "large WebSocket frame", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := webSocket("", "")(ctx, addr)
		if err == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // the hub does not read all
			_ = write(conn, "4"+strings.Repeat("x", 899<<10), 900<<10)
		}
		return conn, err
	}},
	{name: "probing upgrade", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, sid, err := session(ctx, addr, true)
		if err != nil {
			return nil, err
		}
		_ = conn.Close()
		return webSocket("&sid="+sid, "2probe")(ctx, addr)
	}},
	{name: "unfinished POST", open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, sid, err := session(ctx, addr, false)
		if err != nil {
			return nil, err
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // the hub does not read all
		_, _ = fmt.Fprintf(conn, "POST /engine.io/?EIO=3&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n899000:4%s", sid, strings.Repeat("x", 800<<10))
		return conn, nil
	}},
	{name: "unread responses", open: sends(strings.Repeat("GET /mesh.mjs HTTP/1.1\r\nHost: x\r\n\r\n", 400))},
	{name: "keep-alive after a response", idle: true, open: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dial(ctx, addr)
		if err != nil {
			return nil, err
		}
		_, err = get(conn, "/", false)
		return conn, err
	}},
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// sends returns a function that connects and sends some bytes.
func sends(text string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dial(ctx, addr)
		if err == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // the hub need not read
			_, _ = io.WriteString(conn, text)
		}
		return conn, err
	}
}

// get requests a path, and returns the body of the response.
func get(conn net.Conn, path string, last bool) (string, error) {
	connection := "keep-alive"
	if last {
		connection = "close"
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: %s\r\n\r\n", path, connection); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// session opens a polling session, and returns its connection and ID.
func session(ctx context.Context, addr string, last bool) (net.Conn, string, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, "", err
	}
	body, err := get(conn, "/engine.io/?EIO=3&transport=polling&b64=1", last)
	if err != nil {
		return nil, "", err
	}
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return nil, "", errors.New("no session: " + body)
	}
	return conn, sid, nil
}

// webSocket returns a function that opens a WebSocket and sends text as one frame. It sends nothing if text is empty.
func webSocket(query, text string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		conn, _, _, err := ws.Dial(ctx, "ws://"+addr+"/engine.io/?EIO=3&transport=websocket"+query)
		if err == nil && text != "" {
			err = write(conn, text, 0)
		}
		return conn, err
	}
}

// certificate writes a certificate and its key to files.
func certificate() (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	if cert, err = writePEM("CERTIFICATE", der); err != nil {
		return "", "", err
	}
	key, err = writePEM("PRIVATE KEY", secret)
	return cert, key, err
}

func writePEM(kind string, der []byte) (name string, err error) {
	file, err := os.CreateTemp("", "attack-*.pem")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return file.Name(), pem.Encode(file, &pem.Block{Type: kind, Bytes: der})
}
