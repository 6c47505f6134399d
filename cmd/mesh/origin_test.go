package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// openAs opens a session at a hub as a page of an origin that uses host as the hub's host. forwarded is the value of
// X-Forwarded-Host that a proxy sets. openAs returns the status.
func openAs(t *testing.T, url, origin, host string, forwarded ...string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?EIO=4&transport=polling", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", origin)
	req.Host = host
	for _, f := range forwarded {
		req.Header.Add("X-Forwarded-Host", f)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func TestAllowedOriginsAreAdmittedAndOthersToldOf(t *testing.T) {
	t.Parallel() // it waits for a timer
	p := spawn(t, nil, "listen", "--addr", anyPort, "--allow-origin", "null", "--allow-origin", "https://app.example.com")
	url := p.is().url
	require.Equal(t, http.StatusOK, openAs(t, url, "null", "localhost"))
	require.Equal(t, http.StatusOK, openAs(t, url, "https://app.example.com", "localhost"))
	require.Equal(t, http.StatusForbidden, openAs(t, url, "https://example.com", "localhost"))
	p.says("option=--allow-origin origin=https://example.com")
	require.Equal(t, http.StatusForbidden, openAs(t, url, "http://site.example", "site.example"))
	p.says("under another name; --allow-origin admits it", "origin=http://site.example")
	require.Equal(t, http.StatusForbidden, openAs(t, url, "https://app.example", "hub:8888", "app.example:443"))
	p.says("option=--trust-forwarded-host origin=https://app.example")
	p.Interrupt(os.Interrupt)
}

// Apache's "ProxyPass / http://hub:8888/ upgrade=websocket" rewrites Host and sets X-Forwarded-Host.
func TestTrustForwardedHost(t *testing.T) {
	t.Parallel() // it waits for a timer
	p := spawn(t, nil, "listen", "--addr", anyPort, "--trust-forwarded-host", "--allow-origin", "https://*.example.com")
	url := p.is().url
	require.Equal(t, http.StatusOK, openAs(t, url, "https://app.example", "hub:8888", "app.example:443"))
	require.Equal(t, http.StatusForbidden, openAs(t, url, "https://app.example", "hub:8888", "other.example"))
	// A page under a name that points to this machine can set the header itself.
	require.Equal(t, http.StatusForbidden, openAs(t, url, "https://app.example", "app.example", "app.example"))
	require.Equal(t, http.StatusOK, openAs(t, url, "https://www.example.com", "www.example.com"))
	p.Interrupt(os.Interrupt)
}

func TestAHubForAllIsWarnedOf(t *testing.T) {
	const warning = "mesh: every client that can reach this machine is admitted: --user and a password, or a token, keep others out\n"
	for _, c := range []struct {
		env    []string
		args   []string
		warned bool
	}{
		{args: []string{"start", "--addr", "0.0.0.0:0"}, warned: true},
		{args: []string{"listen", "--addr", "0.0.0.0:0"}, warned: true},
		{args: []string{"listen", "--addr", anyPort}},
		{args: []string{"listen", "--addr", "localhost:0"}},
		{env: []string{"MESH_TOKEN=secret"}, args: []string{"listen", "--addr", "0.0.0.0:0"}},
	} {
		p := spawn(t, c.env, append(c.args, "--metrics", "/metrics")...)
		p.is()
		p.says("metrics at ") // this line comes after the warning
		p.Interrupt(os.Interrupt)
		require.Equal(t, c.warned, strings.Contains(p.Seen.String(), warning), "%v", c.args)
	}
}
