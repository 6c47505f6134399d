package natsbackplane

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// arrival is a message for the hub, or a call of unheard.
type arrival struct {
	from    hubID
	data    []byte
	unheard func() // to be called; there is no message then
}

// filter takes the messages of the connection, drops the messages that the hub must not get, and queues the others. It
// has no other work, so that the channel stays empty. It runs until the subscriptions have ended, which may be after
// Close.
func (m *member) filter() {
	seqs := newLastSeq()
	for {
		select {
		case msg := <-m.messages:
			m.admit(msg, seqs)
		case <-m.unsubscribed:
			return
		}
	}
}

func (m *member) admit(msg *nats.Msg, seqs *lastSeq) {
	if answer, ok := strings.CutPrefix(msg.Subject, m.inbox); ok {
		m.noResponders(answer, msg)
		return
	}
	c := &m.backplane.counters
	from, seq, data, ok := parseMessage(msg.Data)
	if !ok || from.hub == m.self.hub && from != m.self {
		c.malformed.Add(1) // also the message of another client that uses this hub's ID
		return
	}
	if from == m.self {
		c.echoes.Add(1)
		return
	}
	switch last := seqs.update(from, seq); {
	case seq == last:
		c.duplicates.Add(1)
	case seq < last:
		c.late.Add(1)
	case m.in.tryPush(arrival{from: from.hub, data: data}, len(data)+overhead):
		c.received.Add(1)
		c.receivedBytes.Add(uint64(len(data)))
	default:
		c.droppedIn.Add(1)
	}
}

// noResponders handles a "no responders" reply of NATS. It queues the call of unheard after the earlier messages.
func (m *member) noResponders(suffix string, msg *nats.Msg) {
	n, err := strconv.ParseUint(suffix, 10, 64)
	if err != nil || len(msg.Data) != 0 || msg.Header.Get("Status") != "503" {
		m.backplane.counters.malformed.Add(1)
		return
	}
	if unheard := m.requests.take(n); unheard != nil {
		m.in.tryPush(arrival{unheard: unheard}, overhead)
	}
}

// deliver passes the queued arrivals to the hub.
func (m *member) deliver(receive func(from string, data []byte)) {
	var last hubID
	name := last.String()
	for {
		batch, _ := m.in.take()
		for i := range batch {
			if m.isAborted() {
				return
			}
			a := &batch[i]
			size := len(a.data) + overhead
			if a.unheard != nil {
				a.unheard()
			} else {
				if a.from != last {
					last, name = a.from, a.from.String()
				}
				receive(name, a.data)
			}
			*a = arrival{}
			m.in.done(size)
		}
		if m.isAborted() {
			return
		}
	}
}
