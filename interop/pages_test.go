package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestPagesOfOldClients runs one bundle for each way in which old clients differ. 1.3.1 encodes text twice in WebSocket
// frames too. 1.4.1, which is inside the original's bundle, reads only the binary form. 1.8.6 posts text that is
// encoded twice, without any sign of that. With INTEROP=full the test runs the whole table.
func TestPagesOfOldClients(t *testing.T) {
	t.Parallel()
	bundles, browsers := []string{"1.3.1", "1.8.6", originalPage}, []Browser{Chromium}
	if interoptest.Full() {
		bundles, browsers = PageBundles, PageBrowsers
	}
	for _, b := range browsers {
		interoptest.Need(t, append(b.programs(), "node", "npm")...)
	}
	RunPageTable(t.Context(), bundles, browsers, func(r PageResult) {
		t.Log(r.name())
		require.NoError(t, r.Err())
	})
}
