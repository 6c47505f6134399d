package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// membership is the common part of the command's backplanes: each has a connection with a NATS server while the hub is
// a member, and reports metrics about the messages.
type membership struct {
	name string // of the mesh
	// maxMessage is mesh.Options.MaxMessage.
	maxMessage int
	logger     *slog.Logger
	notice     func(text string, attrs ...any)
	current    atomic.Pointer[natsbackplane.Backplane]
}

// join makes a hub a member by a connection. join calls end after the hub has left, or when the hub could not join.
// runs returns false when the server has ended for good. runs is nil if only NATS knows that.
func (m *membership) join(nc *nats.Conn, hub string, receive func(from string, data []byte), end func(), runs func() bool) (mesh.BackplaneMember, error) {
	b := natsbackplane.New(nc, &natsbackplane.Options{Prefix: m.name, MaxMessage: m.maxMessage, Logger: m.logger})
	member, err := b.Join(hub, receive)
	if err != nil {
		end()
		return nil, err
	}
	m.current.Store(b)
	return &joinedMember{member, end, runs}, nil
}

// logErrors logs the errors of a connection at the level debug, because the backplane reports the important ones.
func (m *membership) logErrors() nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		m.logger.Debug("mesh: nats", "error", err)
	})
}

// joinedMember is a membership that closes its connection when the hub leaves.
type joinedMember struct {
	mesh.BackplaneMember
	end  func()
	runs func() bool
}

func (j *joinedMember) Err() error {
	if j.runs != nil && !j.runs() {
		return errServerEnded
	}
	return j.BackplaneMember.Err()
}

var errServerEnded = fmt.Errorf("the server between the hubs has ended: start this hub again (%w)", mesh.ErrBackplaneClosed)

func (j *joinedMember) Close() error {
	err := j.BackplaneMember.Close()
	j.end()
	return err
}

var (
	natsDropped = prometheus.NewDesc("mesh_nats_dropped_total",
		"Messages between hubs that NATS did not accept (out), or that arrived faster than the hub processed them (in).", []string{"direction"}, nil)
	natsDisconnects = prometheus.NewDesc("mesh_nats_disconnects_total", "Lost connections to NATS.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *membership) Describe(ch chan<- *prometheus.Desc) {
	ch <- natsDropped
	ch <- natsDisconnects
}

// Collect implements prometheus.Collector.
func (m *membership) Collect(ch chan<- prometheus.Metric) {
	var s natsbackplane.Stats
	if b := m.current.Load(); b != nil {
		s = b.Stats()
	}
	ch <- prometheus.MustNewConstMetric(natsDropped, prometheus.CounterValue, float64(s.DroppedIn), "in")
	ch <- prometheus.MustNewConstMetric(natsDropped, prometheus.CounterValue, float64(s.DroppedOut), "out")
	ch <- prometheus.MustNewConstMetric(natsDisconnects, prometheus.CounterValue, float64(s.Disconnects))
}
