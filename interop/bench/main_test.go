package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestMain runs the test program as a server if the program was started with the command serve.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Getenv("GORACE") == "" { // a program with the race detector sleeps for a second when it ends
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // if this fails, the program sleeps
	}
	goleak.VerifyTestMain(m)
}

// buffer is a Buffer that reports its first write.
type buffer struct {
	interoptest.Buffer
	written chan struct{} // closed with the first write
	once    sync.Once
}

func newBuffer() *buffer { return &buffer{written: make(chan struct{})} }

func (b *buffer) Write(p []byte) (int, error) {
	b.once.Do(func() { close(b.written) })
	return b.Buffer.Write(p)
}

func bound(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestQuickRunMeasuresEveryServerInEveryScenario(t *testing.T) {
	interoptest.Need(t, "node", "npm")
	requireMeasures(t, scenarios(quick))
}

func TestQuickRunMeasuresHubsThatAreJoined(t *testing.T) {
	interoptest.Need(t, "go")
	requireMeasures(t, clusterScenario(quick), "--cluster")
}

// The test binary is also the other build. Both builds are measured for each load, and each load has a ratio.
func TestAnotherBuildTakesThePlaceOfThePeers(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	all, err := besides(exe, scenarios(quick))
	require.NoError(t, err)
	requireMeasures(t, all, "--before", exe)

	_, err = besides("missing", scenarios(quick))
	require.ErrorContains(t, err, "go build -o FILE ./interop/bench")
}

// requireMeasures runs the program with --quick, and requires figures of all loads in want.
func requireMeasures(t *testing.T, want []scenario, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(bound(t), append(args, "--quick", "--runs", "1", "--json"), strings.NewReader(""), &stdout, &stderr)
	t.Log(stderr.String())
	require.Zero(t, status)

	var got report
	decoder := json.NewDecoder(&stdout)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&got))
	require.NotEmpty(t, got.Machine.Go)
	require.NotEmpty(t, got.Ratios)
	require.Len(t, got.Scenarios, len(want))
	for i, s := range want {
		require.Equal(t, s.name, got.Scenarios[i].Name)
		rows := got.Scenarios[i].Rows
		for _, l := range s.loads {
			for _, srv := range l.servers {
				r := rows[0]
				rows = rows[1:]
				require.Equal(t, []string{l.title, srv.name}, []string{r.Load, r.Server})
				require.Empty(t, r.note(), "%s, %s, %s", s.name, l.title, srv.name)
				require.NotNil(t, r.Median)
				require.NotZero(t, s.main.figure(*r.Median))
				require.Equal(t, []outcome{{figures: *r.Median}}, r.Runs)
			}
		}
		require.Empty(t, rows)
	}
}

func TestAPeerThatIsAbsentIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stdout, stderr bytes.Buffer
	status := run(bound(t), []string{"--quick", "--runs", "2", "--only", "fanout"}, strings.NewReader(""), &stdout, &stderr)
	t.Log(stderr.String())
	require.Zero(t, status)
	require.Regexp(t, `(?m)^  engine.io 6.6.13 +did not run: node is not on the PATH$`, stdout.String())
	require.Regexp(t, `(?m)^  this project +2,000 `, stdout.String())
	require.Regexp(t, `(?m)^  googollee 1.4.2 +2,000 `, stdout.String())
	require.Contains(t, stdout.String(), "as many a second as googollee")
}

func TestInterruptEndsTheServers(t *testing.T) {
	ctx, interrupt := context.WithCancel(bound(t))
	var stdout bytes.Buffer
	stderr := newBuffer()
	go func() {
		<-stderr.written
		time.Sleep(50 * time.Millisecond) // usually enough for a server to start
		interrupt()
	}()
	require.Equal(t, 1, run(ctx, []string{"--only", "idle"}, strings.NewReader(""), &stdout, stderr))
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "bench: interrupted")
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--only fanout,fan", `bench: --only: there is no scenario "fan", but idle, fanout, echo, connect, mesh`},
		{"--runs 0", "bench: --runs 0: at least one is needed"},
		{"idle", `bench: unknown command "idle" for "bench"`},
		{"serve nonsense", `bench: there is no server "nonsense"`},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 1, run(bound(t), strings.Fields(test.args), strings.NewReader(""), &stdout, &stderr))
		require.Empty(t, stdout.String())
		require.Contains(t, stderr.String(), test.want)
	}
}

func TestHelpNamesTheScenariosAndNoMore(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(bound(t), []string{"--help"}, strings.NewReader(""), &stdout, &stderr))
	for _, s := range scenarios(full) {
		require.Contains(t, stdout.String(), "  "+s.name+" ")
	}
	require.NotContains(t, stdout.String(), "Available Commands")
	require.NotContains(t, stdout.String(), "test.")
}
