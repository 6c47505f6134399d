package natsbackplane_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
)

// BenchmarkPublishReceive measures a member that publishes to another member as fast as that receives, through a server
// in this process.
func BenchmarkPublishReceive(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := natstest.Run(b, &server.Options{})
			var received atomic.Int64
			came := make(chan struct{}, 1)
			join(b, connect(b, s), nil, func(string, []byte) {
				received.Add(1)
				select {
				case came <- struct{}{}:
				default:
				}
			}).Subscribe("e")
			m := join(b, connect(b, s), nil, func(string, []byte) {})
			for received.Load() == 0 {
				require.NoError(b, m.Publish("e", nil, nil))
				time.Sleep(10 * time.Millisecond)
			}
			received.Store(0)
			data := make([]byte, size)
			window := int64(min(8192, (4<<20)/size)) // messages in flight
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for sent := int64(0); b.Loop(); sent++ {
				for sent-received.Load() >= window {
					<-came
				}
				require.NoError(b, m.Publish("e", data, nil))
			}
			for received.Load() < int64(b.N) {
				<-came
			}
		})
	}
}

// BenchmarkRoundTrip measures a message and its reply between two members, which is twice the time of one hop.
func BenchmarkRoundTrip(b *testing.B) {
	s := natstest.Run(b, &server.Options{})
	var answering mesh.BackplaneMember
	answering = join(b, connect(b, s), nil, func(_ string, data []byte) { _ = answering.Publish("answer", data, nil) })
	answering.Subscribe("question")
	came := make(chan struct{}, 10_000)
	m := join(b, connect(b, s), nil, func(string, []byte) { came <- struct{}{} })
	m.Subscribe("answer")
	for len(came) == 0 {
		require.NoError(b, m.Publish("question", nil, nil))
		time.Sleep(10 * time.Millisecond)
	}
	for len(came) > 0 {
		<-came
	}
	data := make([]byte, 200)
	for b.Loop() {
		require.NoError(b, m.Publish("question", append([]byte(nil), data...), nil))
		<-came
	}
}
