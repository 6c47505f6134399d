package main

import "context"

// attack is one way to harm a hub. The other files of this folder define the attacks.
type attack struct {
	name  string
	short string // one line of --help

	// hub lists further arguments of `mesh listen`, and env lists further variables of its environment.
	hub, env []string
	// hubIfKnown lists flags of `mesh listen`, each as --name=value. A build that does not have a flag does not get it.
	hubIfKnown []string
	// user and password are the bystanders' credentials, if the hub has any.
	user, password string
	// large makes bystanders emit an event of 40 KB now and then. A hub reads it with the memory for large messages.
	large bool

	// act attacks t.addr until ctx is done. It calls t.ready once when the attack is in place: from then on the effect is
	// measured. With t.honest it acts as an honest client with as many connections and bytes. An attack whose bytes depend on
	// the hub calls t.report with its bytes per second before it returns.
	act func(ctx context.Context, t *target) error
}

// attacks are all attacks, in the order of the table.
var attacks = []attack{
	unadmitted,
	sessions,
	unread,
	bufferBudget,
	flood,
	patterns,
	patternsAtLimit,
}

// target is the argument of an attack.
type target struct {
	addr   string // host:port of the hub
	small  bool   // the attack has the figures of a test
	honest bool
	rate   float64 // for an honest client of an attack that reports its rate: the attack's bytes per second
	ready  func()
	report func(rate float64)
}

// of returns full, or small if the attack has small figures.
func (t *target) of(full, small int) int {
	if t.small {
		return small
	}
	return full
}
