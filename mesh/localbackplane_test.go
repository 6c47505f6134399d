package mesh_test

import (
	"testing"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/backplanetest"
)

func TestLocalBackplane(t *testing.T) {
	backplanetest.Run(t, func(*testing.T) func() mesh.Backplane {
		backplane := new(mesh.LocalBackplane)
		return func() mesh.Backplane { return backplane }
	})
}
