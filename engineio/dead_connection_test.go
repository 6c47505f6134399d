package engineio_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// wrapped is a RoundTripper whose type does not reveal its transport.
type wrapped struct{ *http.Transport }

func (w wrapped) RoundTrip(r *http.Request) (*http.Response, error) { return w.Transport.RoundTrip(r) }

// The connections of a session that ended by silence are not used again, whether the HTTP client is the session's or
// the user's.
func TestNextSessionAvoidsADeadConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		http2  bool
		client func(*http.Transport) *http.Client
	}{
		{"HTTP/2", true, func(transport *http.Transport) *http.Client { return &http.Client{Transport: transport} }},
		{"HTTP/1.1", false, func(transport *http.Transport) *http.Client { return &http.Client{Transport: transport} }},
		{"HTTP/1.1, another RoundTripper", false, func(transport *http.Transport) *http.Client { return &http.Client{Transport: wrapped{transport}} }},
		{"HTTP/2, another RoundTripper with pings", true, func(transport *http.Transport) *http.Client {
			transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
			return &http.Client{Transport: wrapped{transport}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := engineio.NewServer(echoHandler, nil)
				n := newNetwork()
				web := &httptest.Server{Listener: n, Config: &http.Server{Handler: srv}, EnableHTTP2: tc.http2}
				web.StartTLS()
				defer web.Close()
				defer func() { require.NoError(t, srv.Close()) }()
				transport := web.Client().Transport.(*http.Transport)
				transport.DialContext = n.dial
				client := tc.client(transport)
				defer client.CloseIdleConnections()
				options := &engineio.DialOptions{HTTPClient: client, Transports: []engineio.Transport{engineio.Polling}}

				s, err := engineio.Dial(t.Context(), "https://127.0.0.1", options)
				require.NoError(t, err)
				requireEcho(t, s, engineio.Text("before"))
				s.Discard()
				n.silence()
				<-s.Context().Done()
				synctest.Wait() // the session closes idle connections when its context is done

				soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				s, err = engineio.Dial(soon, "https://127.0.0.1", options)
				require.NoError(t, err)
				requireEcho(t, s, engineio.Text("after"))
				require.NoError(t, s.Close())
			})
		})
	}
}
