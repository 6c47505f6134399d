package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/engineio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverybodyHearsEverybody(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := &room{members: map[*engineio.Socket]bool{}}
	engine := engineio.NewServer(r, nil)
	web := httptest.NewServer(engine)
	defer web.Close()
	defer func() { require.NoError(t, engine.Close()) }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	var guests []*engineio.Socket
	for range 3 {
		s, err := engineio.Dial(ctx, web.URL, &engineio.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		require.NoError(t, err)
		defer func() { _ = s.Close() }()
		// The echo of its first message shows that it is in the room.
		require.NoError(t, s.Write(ctx, engineio.Text("here")))
		m, err := s.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, "here", string(m.Data))
		guests = append(guests, s)
	}
	require.NoError(t, guests[2].Write(ctx, engineio.Text("guest 2: <b>hello</b>")))
	for i, s := range guests {
		for {
			m, err := s.Read(ctx)
			require.NoError(t, err, "guest %d", i)
			if string(m.Data) == "guest 2: <b>hello</b>" {
				break
			}
			require.Equal(t, "here", string(m.Data))
		}
	}
}
