package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatusTellsOfFailures(t *testing.T) {
	t.Parallel()
	x := new(interop.Matrix)
	const row = `{"rows": [{"peer": "engine.io 6.6.13", "revision": 4, "cells": [
		{"exchange": "text", "mode": "polling", "verdict": %q, "error": "lost"}]}]}`
	for verdict, want := range map[string]error{"works": nil, "peer's fault": nil, "fails": errOurs} {
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, row, verdict), x))
		var out, errs bytes.Buffer
		require.ErrorIs(t, (&flags{json: true}).print(x, &out, &errs), want)
		require.Contains(t, out.String(), verdict)
		require.Equal(t, want != nil, errs.Len() > 0, errs.String())
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, stderr string
		args         []string
	}{
		{name: "unknown peer", args: []string{"--only", "9.9.9"}, stderr: "there is no peer"},
		{name: "argument", args: []string{"6.6.8"}, stderr: "unknown command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			require.Equal(t, 1, run(t.Context(), tt.args, strings.NewReader(""), &out, &errs))
			require.Empty(t, out.String())
			require.Contains(t, errs.String(), tt.stderr)
		})
	}
}
