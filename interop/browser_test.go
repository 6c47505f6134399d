package interop

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	wt "github.com/bigcompany/mesh/engineio/webtransport"
)

// TestBrowserWebTransport runs each exchange over WebTransport between the stock client in Chromium, on a page of another
// origin that knows the certificate by its hash, and our server.
func TestBrowserWebTransport(t *testing.T) {
	t.Parallel()
	certificate, hash, err := wt.SelfSigned("127.0.0.1")
	require.NoError(t, err)
	client := peerClient{StartBrowser(t, "6.6.8"), map[string]any{
		"serverCertificateHashes": []string{base64.StdEncoding.EncodeToString(hash[:])},
	}}
	server := &ourServer{certificate: certificate, origins: []string{"*"}}
	eachCell(t, webtransportModes, func(m mode, c cell) func(*testing.T) {
		return func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			require.NoError(t, c.run(ctx, client, server, m))
		}
	})
}
