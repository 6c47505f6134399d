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
	"github.com/bigcompany/mesh/mesh/backplanetest"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// limits are small, so that few messages exceed them.
var limits = natsbackplane.Options{QueueLimit: 8 << 20, ReceiveLimit: 16 << 20}

func TestBackplane(t *testing.T) {
	backplanetest.Run(t, func(t *testing.T) func() mesh.Backplane {
		s := natstest.Run(t, &server.Options{})
		return func() mesh.Backplane { return natsbackplane.New(connect(t, s), &limits) }
	})
}

// TestBackplaneOfThreeServers connects each member to another server than the one before.
func TestBackplaneOfThreeServers(t *testing.T) {
	backplanetest.Run(t, func(t *testing.T) func() mesh.Backplane {
		servers := runCluster(t)
		n := 0
		return func() mesh.Backplane {
			n++
			return natsbackplane.New(connect(t, servers[n%3]), &limits)
		}
	})
}

// TestCausalityAcrossServers is like the test of package backplanetest, with many more rounds: every server knows a
// member's subscription before the messages that the member publishes after it.
func TestCausalityAcrossServers(t *testing.T) {
	servers := runCluster(t)
	const rounds = 1000
	answering := make([]mesh.BackplaneMember, 3)
	for i := range answering {
		answering[i] = join(t, connect(t, servers[i]), nil, func(_ string, data []byte) {
			if err := answering[i].Publish(string(data), []byte{byte(i)}, nil); err != nil {
				t.Error(err)
			}
		})
		answering[i].Subscribe("question")
	}
	var answers atomic.Int64
	came := make(chan struct{}, 10_000)
	asking := join(t, connect(t, servers[0]), nil, func(string, []byte) {
		answers.Add(1)
		came <- struct{}{}
	})
	asking.Subscribe("ready")
	eventually(t, func() bool { // all members have subscribed to the question
		answers.Store(0)
		require.NoError(t, asking.Publish("question", []byte("ready"), nil))
		time.Sleep(20 * time.Millisecond)
		return answers.Load() == 3
	})
	for len(came) > 0 {
		<-came
	}
	for i := range rounds {
		name := fmt.Sprintf("answer::%d", i)
		asking.Subscribe(name)
		require.NoError(t, asking.Publish("question", []byte(name), nil))
		for range 3 {
			select {
			case <-came:
			case <-time.After(patience):
				require.FailNow(t, "an answer was lost", "in round %d", i)
			}
		}
		if i%2 == 0 {
			asking.Unsubscribe(name)
		}
	}
}
