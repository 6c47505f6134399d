package backplanetest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// patience bounds each wait of a test.
const patience = 20 * time.Second

// world holds the members of the backplane under test.
type world struct {
	t       *testing.T
	next    func() mesh.Backplane
	members []*member
	token   int
}

// everybody is the name under which the members of a world find each other and exchange tokens. marked is the prefix of
// a token message.
const (
	everybody = "$everybody"
	marked    = "\x00token "
)

// message is a message that a member has received.
type message struct {
	from string
	data string
}

// member is a member of a world. It records the messages that it receives.
type member struct {
	mesh.BackplaneMember
	t  *testing.T
	id string

	// react, if not nil, is called with each message, except the token messages of world. It is set before the first
	// message.
	react func(from string, data []byte)

	mu      sync.Mutex
	got     []message
	tokens  map[string]int // by member, the last token of its messages
	busy    int            // running calls of receive
	changed chan struct{}  // closed when one of these fields changes
}

// join adds n members, and returns when all members receive each other's messages.
func (w *world) join(n int) []*member {
	w.t.Helper()
	for range n {
		w.add(newID(), nil)
	}
	w.meet()
	return w.members[len(w.members)-n:]
}

// add adds one member. The others may not receive its messages yet.
func (w *world) add(id string, react func(from string, data []byte)) *member {
	w.t.Helper()
	m := &member{t: w.t, id: id, react: react, tokens: make(map[string]int), changed: make(chan struct{})}
	backplane := w.next()
	var err error
	m.BackplaneMember, err = backplane.Join(id, m.receive)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = m.Close() })
	require.NoError(w.t, m.Err())
	m.Subscribe(everybody)
	w.members = append(w.members, m)
	return m
}

// meet returns when all members receive each other's messages. Until then messages may be lost.
func (w *world) meet() {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		w.token++
		w.publishTokens()
		if w.tokensCame(50 * time.Millisecond) {
			return
		}
		require.True(w.t, time.Now().Before(end), "the members do not receive each other's messages")
	}
}

// settle returns when every member has received the messages that the others published before, and knows their
// subscriptions.
func (w *world) settle() {
	w.t.Helper()
	w.token++
	w.publishTokens()
	require.True(w.t, w.tokensCame(patience), "a message was lost or out of order")
}

// publishTokens waits for room in the queue of a member: a test may have filled it before.
func (w *world) publishTokens() {
	w.t.Helper()
	for _, m := range w.members {
		err := m.Publish(everybody, []byte(marked+strconv.Itoa(w.token)), nil)
		for end := time.Now().Add(patience); errors.Is(err, mesh.ErrBackplaneFull) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
			err = m.Publish(everybody, []byte(marked+strconv.Itoa(w.token)), nil)
		}
		require.NoError(w.t, err)
	}
}

func (w *world) tokensCame(within time.Duration) bool {
	end := time.Now().Add(within)
	for _, m := range w.members {
		if !m.wait(time.Until(end), func() bool {
			for _, other := range w.members {
				if other != m && m.tokens[other.id] < w.token {
					return false
				}
			}
			return true
		}) {
			return false
		}
	}
	return true
}

// leave closes a member.
func (w *world) leave(m *member) {
	w.t.Helper()
	require.NoError(w.t, m.Close())
	for i := range w.members {
		if w.members[i] == m {
			w.members = append(w.members[:i:i], w.members[i+1:]...)
			return
		}
	}
}

// receive is the callback of the backplane. It overwrites data, which must not affect other members.
func (m *member) receive(from string, data []byte) {
	m.change(func() {
		m.busy++
		if m.busy > 1 {
			m.t.Error("receive runs twice at the same time")
		}
	})
	defer m.change(func() { m.busy-- })
	text := string(data)
	clear(data)
	if from == m.id {
		m.t.Errorf("received its own %.40q", text)
	}
	var token int
	if _, err := fmt.Sscanf(text, marked+"%d", &token); err == nil {
		m.change(func() { m.tokens[from] = token })
		return
	}
	if m.react != nil {
		m.react(from, []byte(text))
	}
	m.change(func() { m.got = append(m.got, message{from, text}) })
}

func (m *member) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// wait waits until done returns true, for at most within. It returns false on timeout. It calls done with the member's
// lock held.
func (m *member) wait(within time.Duration, done func() bool) bool {
	timeout := time.After(within)
	for {
		m.mu.Lock()
		ok, changed := done(), m.changed
		m.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}

// await waits until the member has at least n messages, and takes all of them. It fails the test if they do not come in
// time.
func (m *member) await(n int) []message {
	m.t.Helper()
	require.True(m.t, m.wait(patience, func() bool { return len(m.got) >= n }), "messages were lost")
	return m.take()
}

// take returns the messages since the last call.
func (m *member) take() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

// texts is like take, without the publishers.
func (m *member) texts() []string { return texts(m.take()) }

func texts(messages []message) []string {
	out := []string{}
	for _, msg := range messages {
		out = append(out, msg.data)
	}
	return out
}

// say publishes a text.
func (m *member) say(name, text string) {
	m.t.Helper()
	require.NoError(m.t, m.Publish(name, []byte(text), nil))
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// payload returns n bytes that repeat a random ID and some special bytes, so that two payloads differ.
func payload(n int) []byte {
	return bytes.Repeat([]byte(newID()+"\x00\r\n\xff"), n/36+1)[:n]
}
