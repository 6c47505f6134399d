package loadgen

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// numbered adds messages to a load: the first message of a session begins with hello, and all others contain a number.
func numbered(o TrafficOptions) TrafficOptions {
	o.First = func(subscriber bool) string { return "hello " + strconv.FormatBool(subscriber) }
	o.Append = func(dst []byte, n int64) []byte { return strconv.AppendInt(append(dst, "n "...), n, 10) }
	o.Number = func(text []byte) (int64, bool) {
		number, ok := bytes.CutPrefix(text, []byte("n "))
		n, err := strconv.ParseInt(string(number), 10, 64)
		return n, ok && err == nil
	}
	return o
}

func TestTrafficAtARate(t *testing.T) {
	target, _ := serve(t, relay(everybody), engineio.ServerOptions{})
	for _, transports := range [][]string{{ByWebSocket}, {ByPolling}, {ByUpgrade}, {ByPolling, ByWebSocket, ByUpgrade}} {
		t.Run(strings.Join(transports, " "), func(t *testing.T) {
			var progress atomic.Int64
			// The server sends every message to all sessions. Publishers must not count received messages.
			r, err := Traffic(t.Context(), target, numbered(TrafficOptions{
				Publishers: 2, Subscribers: 3, Transports: transports, Rate: 200, Duration: 500 * time.Millisecond,
				Progress: func(p TrafficProgress) {
					progress.Add(1)
					require.LessOrEqual(t, p.Open, 5)
				},
			}))
			require.NoError(t, err)
			require.Equal(t, 100, r.Sent)
			require.Equal(t, 300, r.Received)
			require.Zero(t, r.Ended)
			require.Positive(t, r.P50)
			require.LessOrEqual(t, r.P50, r.P90)
			require.LessOrEqual(t, r.P90, r.P99)
			require.LessOrEqual(t, r.P99, r.Max)
			require.GreaterOrEqual(t, r.Sending, 500*time.Millisecond)
			require.GreaterOrEqual(t, r.Elapsed, r.Sending)
			require.Positive(t, progress.Load())
		})
	}
}

func TestTrafficAsFastAsItIsTaken(t *testing.T) {
	target, _ := serve(t, relay(everybody), engineio.ServerOptions{})
	longer(t, func(d time.Duration) bool {
		r, err := Traffic(t.Context(), target, numbered(TrafficOptions{Publishers: 3, Subscribers: 2, Ahead: 100, Duration: d}))
		require.NoError(t, err)
		require.Equal(t, 2*r.Sent, r.Received)
		require.Zero(t, r.Ended)
		return r.Sent > 500
	})
}

func TestTrafficEndsEarlyWithWhatItHas(t *testing.T) {
	target, _ := serve(t, relay(everybody), engineio.ServerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Traffic(ctx, target, numbered(TrafficOptions{Publishers: 1, Subscribers: 1, Rate: 1000, Duration: time.Hour,
		Progress: func(p TrafficProgress) {
			if p.Received > 50 {
				cancel()
			}
		}}))
	require.NoError(t, err)
	require.Greater(t, r.Sent, 50)
	require.Equal(t, r.Sent, r.Received)
	require.Less(t, r.Sending, patience)
}

func TestTrafficTellsOfSessionsThatEnd(t *testing.T) {
	target, _ := serve(t, func(ctx context.Context, s *engineio.Socket) {
		if m, err := s.Read(ctx); err == nil && string(m.Data) == "hello false" {
			_, _ = s.Read(ctx) // one message, and no more
			return
		}
		_, _ = s.Read(ctx)
	}, engineio.ServerOptions{})
	for _, how := range []string{ByWebSocket, ByPolling} {
		r, err := Traffic(t.Context(), target, numbered(TrafficOptions{
			Publishers: 2, Subscribers: 1, Transports: []string{how}, Rate: 100, Duration: 300 * time.Millisecond,
		}))
		require.NoError(t, err)
		require.Equal(t, 2, r.Ended, how)
		require.Error(t, r.EndedBy)
		require.Zero(t, r.Received)
	}
}

func TestTrafficKeepsItsSessions(t *testing.T) {
	target, _ := serve(t, relay(everybody), engineio.ServerOptions{PingInterval: 200 * time.Millisecond, PingTimeout: 2 * time.Second})
	r, err := Traffic(t.Context(), target, numbered(TrafficOptions{
		Publishers: 2, Subscribers: 2, Transports: []string{ByWebSocket, ByPolling}, Rate: 20, Duration: 3 * time.Second,
	}))
	require.NoError(t, err)
	require.Zero(t, r.Ended, r.EndedBy)
	require.Equal(t, 120, r.Received)
}

func TestTrafficAgainstNoServer(t *testing.T) {
	_, err := Traffic(t.Context(), Target{Host: "127.0.0.1:1", Path: "/engine.io/", Revision: 3}, numbered(TrafficOptions{Publishers: 1, Subscribers: 1, Rate: 1, Duration: time.Second}))
	require.ErrorContains(t, err, "connection 1 of 1")
	_, err = Traffic(t.Context(), Target{}, numbered(TrafficOptions{Publishers: 1 << 30, Subscribers: 1}))
	require.ErrorContains(t, err, "start two processes")
}

func TestPayloadsOfText(t *testing.T) {
	for payload, want := range map[string][]string{
		"2:4a":            {"4a"},
		"3:4ab1:66:4é€😀!": {"4ab", "6", "4é€😀!"},
		"":                nil,
	} {
		rest := []byte(payload)
		var got []string
		for len(rest) > 0 {
			packet, after, err := cutPacket(rest)
			require.NoError(t, err, payload)
			got, rest = append(got, string(packet)), after
		}
		require.Equal(t, want, got)
	}
	for _, payload := range []string{"x", "1", ":", "0:", "2:4", "1x4", "99999999999:4"} {
		_, _, err := cutPacket([]byte(payload))
		require.ErrorIs(t, err, errPayload, payload)
	}
}

func TestFramesInPieces(t *testing.T) {
	stream := []byte{0x81, 3, '4', 'a', 'b', 0x81, 1, '3', 0x81, 126, 0, 200, '4'}
	stream = append(stream, bytes.Repeat([]byte("x"), 199)...)
	for size := 1; size <= len(stream); size++ {
		var s socket
		var got []string
		for at := 0; at < len(stream); at += size {
			require.NoError(t, s.take(stream[at:min(at+size, len(stream))], func(kind byte, text []byte) {
				got = append(got, string(kind)+string(text))
			}))
		}
		require.Equal(t, []string{"4ab", "3", "4" + strings.Repeat("x", 199)}, got)
		require.Empty(t, s.rest)
	}
	for name, b := range map[string][]byte{"close": {0x88, 0}, "binary": {0x82, 1, 4}, "large": {0x81, 127, 0, 0, 0, 0, 0xff, 0, 0, 0, '4'}, "end": {0x81, 1, '1'}} {
		require.Error(t, new(socket).take(b, func(byte, []byte) { t.Error(name) }), name)
	}
}
