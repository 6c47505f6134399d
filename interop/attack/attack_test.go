package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestMain(m *testing.M) {
	if os.Getenv(actVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		interop.RemoveBuilds()
		os.Exit(status)
	}))
}

// TestAttacks runs each attack with small figures, or with the attackers' figures if INTEROP=full. Bystanders must lose
// nothing.
func TestAttacks(t *testing.T) {
	exe, err := interop.BuildMesh()
	require.NoError(t, err)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			s := scene{hub: exe, attack: a, small: !interoptest.Full(), time: time.Second}
			if interoptest.Full() {
				s.time = 10 * time.Second
			}
			r, err := s.phase(t.Context(), underAttack, 0)
			require.NoError(t, err)
			require.Zero(t, r.Lost, "events of bystanders; the hub's log:\n%s", r.Log)
			require.Zero(t, r.Disconnects, "of bystanders; the hub's log:\n%s", r.Log)
			require.NotZero(t, r.Heard)
		})
	}
}
