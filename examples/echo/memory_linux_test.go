package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkIdleSessions reports the resident memory that an idle WebSocket session costs the server's process, measured
// from outside: 3,000 sessions of a client that uses no code of this project, 8 handshakes at a time, after two rounds
// of heartbeats. Run it with -benchtime 1x.
func BenchmarkIdleSessions(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkIdleSessions(b, "") })
	b.Run("compress", func(b *testing.B) {
		benchmarkIdleSessions(b, "Sec-WebSocket-Extensions: permessage-deflate\r\n", "--compress")
	})
}

func benchmarkIdleSessions(b *testing.B, header string, args ...string) {
	const (
		sessions = 3000
		at       = 8
		interval = 5 * time.Second
	)
	for b.Loop() {
		address, pid, end := startProcess(b, append(args, "--ping-interval", interval.String())...)
		u, err := url.Parse(address)
		require.NoError(b, err)
		before := residentMemory(b, pid)
		var opening, serving sync.WaitGroup
		pings := make(chan struct{}, 4*sessions)
		conns := make(chan net.Conn, sessions)
		for range at {
			opening.Go(func() {
				for range sessions / at {
					conn, in, err := openSession(u.Host, header)
					if err != nil {
						b.Error(err)
						return
					}
					conns <- conn
					serving.Go(func() { answerPings(conn, in, pings) })
				}
			})
		}
		opening.Wait()
		for range 2 * sessions {
			<-pings
		}
		b.ReportMetric(float64(residentMemory(b, pid)-before)/sessions, "KB/session")
		close(conns)
		for conn := range conns {
			_ = conn.Close()
		}
		serving.Wait()
		end(os.Interrupt)
	}
	b.ReportMetric(0, "ns/op") // time is not the subject
}

func openSession(host, header string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", host, header); err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(conn, 512)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return conn, in, nil
}

// answerPings responds to the server's pings until the connection ends. All incoming frames are short.
func answerPings(conn net.Conn, in *bufio.Reader, pings chan<- struct{}) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		body := make([]byte, head[1])
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if string(body) == "2" {
			_, _ = conn.Write([]byte{0x81, 0x81, 0, 0, 0, 0, '3'})
			pings <- struct{}{}
		}
	}
}

// residentMemory returns the resident memory of a process in KB.
func residentMemory(t testing.TB, pid int) (kb int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kb)
	require.NoError(t, err)
	return kb
}
