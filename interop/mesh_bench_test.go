package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestBenchMeasuresANodeHub runs mesh bench against a Node.js hub, by each transport, with and without credentials. The
// command must recognise the hub as a Node.js hub, and the hub must survive.
func TestBenchMeasuresANodeHub(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, "go")
	exe, err := meshCommand()
	require.NoError(t, err)
	for _, accept := range [][][2]string{nil, {{"ann", "s3cret"}}} {
		node := startNode(t, MeshNode).Node()
		port := node.Must(t, Command{Do: "listen", Host: "127.0.0.1", Accept: accept}, "listening").Port
		for _, load := range [][]string{
			{"--rate", "50", "--transports", "websocket,polling,upgrade"},
			{"--rate", "0", "--publishers", "1"},
		} {
			args := append([]string{"bench", "--json", "--addr", fmt.Sprintf("127.0.0.1:%d", port), "--duration", "1s",
				"--publishers", "3", "--subscribers", "3"}, load...)
			if accept != nil {
				args = append(args, "--user", accept[0][0])
			}
			cmd := exec.CommandContext(t.Context(), exe, args...)
			cmd.Env = append(cmd.Environ(), "MESH_PASSWORD=")
			if accept != nil {
				cmd.Env = append(cmd.Env, "MESH_PASSWORD="+accept[0][1])
			}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			require.NoError(t, cmd.Run(), stderr.String())
			var got struct {
				Hub                     string
				Sent, Received, Missing int
				Latency                 map[string]float64 `json:"latency_seconds"`
			}
			require.NoError(t, json.Unmarshal(stdout.Bytes(), &got))
			require.Equal(t, "node", got.Hub)
			require.Positive(t, got.Sent)
			require.Equal(t, 3*got.Sent, got.Received, "each event to each subscriber, once")
			require.Zero(t, got.Missing)
			require.Positive(t, got.Latency["p50"])
		}
	}
}
