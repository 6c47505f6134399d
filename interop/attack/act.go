package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/spf13/cobra"
)

// actCommand returns the command of the attacker's process. It attacks until its standard input ends.
func actCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:    "act NAME",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, ok := find(attacks, args[0])
			if !ok {
				return fmt.Errorf("no attack is named %q", args[0])
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() {
				_, _ = io.Copy(io.Discard, stdin)
				cancel()
			}()
			t.ready = sync.OnceFunc(func() { _, _ = fmt.Fprintln(stdout, `{"event":"ready"}`) })
			t.report = func(rate float64) { _, _ = fmt.Fprintf(stdout, `{"event":"rate","rate":%g}`+"\n", rate) }
			if err := a.act(ctx, &t); err != nil && ctx.Err() == nil {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&t.addr, "addr", "", "`ADDRESS` of the hub")
	cmd.Flags().BoolVar(&t.small, "small", false, "small figures")
	cmd.Flags().BoolVar(&t.honest, "honest", false, "act as honest clients do")
	cmd.Flags().Float64Var(&t.rate, "rate", 0, "bytes per second that an honest client sends")
	return cmd
}

// attacker is a process that attacks.
type attacker struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
}

// startAttacker starts the process and waits until its attack is in place.
func startAttacker(ctx context.Context, s scene, addr string, honest bool, rate float64) (*attacker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"act", s.attack.name, "--addr", addr, "--rate", fmt.Sprint(rate)}
	if s.small {
		args = append(args, "--small")
	}
	if honest {
		args = append(args, "--honest")
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), actVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &attacker{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	for a.out.Scan() {
		if a.read().Event == "ready" {
			return a, nil
		}
	}
	_, err = a.end()
	return nil, errors.Join(errors.New("the attacker ended before its attack was in place"), err)
}

// report is a line of the attacker's output.
type report struct {
	Event string
	Rate  float64
}

func (a *attacker) read() (r report) {
	_ = json.Unmarshal(a.out.Bytes(), &r) // other lines are no reports
	return r
}

// actVariable makes a test binary of this package act as the command.
const actVariable = "ATTACK_ACT"

// end makes the process end and waits for it. It returns the rate that the attack has reported, if any.
func (a *attacker) end() (rate float64, err error) {
	_ = a.in.Close()
	for a.out.Scan() { // until the process has ended
		rate = max(rate, a.read().Rate)
	}
	return rate, a.cmd.Wait()
}
