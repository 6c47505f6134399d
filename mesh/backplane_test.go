package mesh_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

// hookedBackplane is a LocalBackplane that calls functions of the test. A function that blocks holds a message:
// onPublish at the publishing hub, onReceive at the receiving one.
type hookedBackplane struct {
	mesh.LocalBackplane
	onPublish   atomic.Pointer[func(hub, name string)]
	onReceive   atomic.Pointer[func(hub string)]
	onSubscribe atomic.Pointer[func(patterns []string)]
}

type hookedMember struct {
	mesh.BackplaneMember
	hub string
	b   *hookedBackplane
}

func (b *hookedBackplane) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	m, err := b.LocalBackplane.Join(hub, func(from string, data []byte) {
		if hook := b.onReceive.Load(); hook != nil {
			(*hook)(hub)
		}
		receive(from, data)
	})
	return hookedMember{m, hub, b}, err
}

func (m hookedMember) Publish(name string, data []byte, unheard func()) error {
	if hook := m.b.onPublish.Load(); hook != nil {
		(*hook)(m.hub, name)
	}
	return m.BackplaneMember.Publish(name, data, unheard)
}

func (m hookedMember) Subscribe(patterns ...string) {
	if hook := m.b.onSubscribe.Load(); hook != nil {
		(*hook)(patterns)
	}
	m.BackplaneMember.Subscribe(patterns...)
}

// cutOff holds all messages for a hub until rejoin is called, as if the hub were stopped. Messages from that hub pass.
func (b *hookedBackplane) cutOff(id string) (rejoin func()) {
	held := make(chan struct{})
	hook := func(hub string) {
		if hub == id {
			<-held
		}
	}
	b.onReceive.Store(&hook)
	return sync.OnceFunc(func() { close(held) })
}

// laggingBackplane returns a backplane that delays one message in so many, on average, so that hubs receive the same
// message at different times.
func laggingBackplane(every int, most time.Duration) mesh.Backplane {
	b := new(hookedBackplane)
	hook := func(string) {
		if rand.N(every) == 0 {
			time.Sleep(rand.N(most))
		}
	}
	b.onReceive.Store(&hook)
	return b
}
