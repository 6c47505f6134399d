package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// sessions opens sessions without credentials as fast as it can. It acts as one client of a proxy on this machine,
// because the hub does not count connections from loopback otherwise.
var sessions = attack{
	name:       "sessions",
	short:      "one client without credentials opens sessions as fast as it can",
	hub:        []string{"--user", "member"},
	hubIfKnown: []string{"--trusted-proxy=127.0.0.1"},
	env:        []string{"MESH_PASSWORD=secret"},
	user:       "member",
	password:   "secret",
	act: func(ctx context.Context, t *target) error {
		workers := t.of(8, 2)
		transport := &http.Transport{MaxIdleConnsPerHost: workers}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		var wait sync.WaitGroup
		most := t.of(1<<30, 5000) / workers
		for range workers {
			wait.Go(func() {
				for n := 0; n < most && ctx.Err() == nil; n++ {
					openSession(ctx, client, t)
				}
			})
		}
		t.ready()
		wait.Wait()
		<-ctx.Done()
		return nil
	},
}

// openSession opens a session and abandons it. An honest client presents credentials and closes the session.
func openSession(ctx context.Context, client *http.Client, t *target) {
	url := "http://" + t.addr + "/engine.io/?EIO=3&transport=polling&b64=1"
	opened := request(ctx, client, http.MethodGet, url, "")
	if !t.honest {
		return
	}
	_, rest, _ := strings.Cut(opened, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return
	}
	packet := `4{"event":"handshake","payload":{},"headers":{"auth":{"user":"member","password":"secret"}}}`
	request(ctx, client, http.MethodPost, url+"&sid="+sid, fmt.Sprintf("%d:%s1:1", len(packet), packet))
}

// request returns the body of the response, or an empty string if the request fails.
func request(ctx context.Context, client *http.Client, method, url, body string) string {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return ""
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	resp, err := client.Do(req)
	if err != nil {
		pause(ctx, 10*time.Millisecond)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body) // ignored: a broken connection shortens the text
	return string(text)
}
