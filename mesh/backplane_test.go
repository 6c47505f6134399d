package mesh_test

import (
	"sync/atomic"

	"github.com/bigcompany/mesh/mesh"
)

// hookedBackplane is a LocalBackplane that calls functions of the test with each message. A function that blocks holds
// the message: onPublish at the publishing hub, onReceive at the receiving one.
type hookedBackplane struct {
	mesh.LocalBackplane
	onPublish atomic.Pointer[func(hub, name string, data []byte)]
	onReceive atomic.Pointer[func(hub string)]
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
		(*hook)(m.hub, name, data)
	}
	return m.BackplaneMember.Publish(name, data, unheard)
}
