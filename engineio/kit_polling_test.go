package engineio_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// pollingClient is the client of a polling session. The test sends its requests.
type pollingClient struct {
	ts    *testServer
	rev   engineio.Revision
	sid   string
	query string // of all further requests
}

func (pc *pollingClient) poll() response { return pc.ts.request(http.MethodGet, pc.query, nil) }

func (pc *pollingClient) post(body string, header ...string) response {
	if !slices.Contains(header, "Content-Type") {
		header = append([]string{"Content-Type", "text/plain;charset=UTF-8"}, header...)
	}
	return pc.ts.request(http.MethodPost, pc.query, strings.NewReader(body), header...)
}

// payload writes packets as a text payload of the session's revision.
func (pc *pollingClient) payload(packets ...string) string { return asciiPayload(pc.rev, packets...) }

// socket returns the server's side of the session, or nil.
func (pc *pollingClient) socket() *engineio.Socket {
	for _, s := range pc.ts.srv.Sockets() {
		if s.ID() == pc.sid {
			return s
		}
	}
	return nil
}

// requireEcho checks that the session works: the server must echo a message.
func (pc *pollingClient) requireEcho(text string) {
	pc.ts.t.Helper()
	require.Equal(pc.ts.t, "200 ok", pc.post(pc.payload("4"+text)).summary())
	require.Equal(pc.ts.t, "200 "+pc.payload("4"+text), pc.poll().summary())
}

// awaitPoll waits until the server holds a poll of the session.
func (pc *pollingClient) awaitPoll() {
	s := pc.socket()
	require.NotNil(pc.ts.t, s)
	for !s.HoldsPoll() {
		runtime.Gosched()
	}
}

// closeSession ends the session as stock clients do: with a close packet while a poll waits.
func (pc *pollingClient) closeSession() {
	polls := inBackground(func() response { // a client polls until the session is gone, and the close packet waits for such a poll
		resp := pc.poll()
		for resp.status == http.StatusOK {
			resp = pc.poll()
		}
		return resp
	})
	_ = pc.post(pc.payload("1"))
	<-polls
}

// upgradeTo begins an upgrade and takes it to a step: "101" (the WebSocket is open), "2probe" (the probe is sent),
// "3probe" (its reply has come), or "5" (the upgrade is complete at the client).
func (pc *pollingClient) upgradeTo(step string) *webSocketClient {
	pc.ts.t.Helper()
	wc := pc.ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
	switch step {
	case "2probe":
		wc.sendText("2probe")
	case "3probe":
		wc.probe()
	case "5":
		wc.probe()
		wc.sendText("5")
	}
	return wc
}

// pollAndUpgrade begins an upgrade while a poll waits, and takes it to the step at which the poll has got its noop.
func (pc *pollingClient) pollAndUpgrade() *webSocketClient {
	pc.ts.t.Helper()
	poll := inBackground(pc.poll)
	wc := pc.upgrade()
	wc.probe()
	require.Equal(pc.ts.t, "200 "+pc.payload("6"), (<-poll).summary())
	return wc
}

// waitingPoll sends a poll. In a bubble, it returns when the poll waits.
func (pc *pollingClient) waitingPoll() <-chan response {
	poll := inBackground(pc.poll)
	synctest.Wait()
	return poll
}

// upgrade begins an upgrade: in a bubble, the WebSocket is open, and no packet has been sent on it.
func (pc *pollingClient) upgrade() *webSocketClient {
	pc.ts.t.Helper()
	wc := pc.ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
	synctest.Wait() // the 101 is sent before the upgrade has begun
	return wc
}

func asciiPayload(rev engineio.Revision, packets ...string) string {
	if rev == engineio.Revision4 {
		return strings.Join(packets, "\x1e")
	}
	var b strings.Builder
	for _, p := range packets { // ASCII
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return b.String()
}

// halfPosts are the remaining header fields of a POST and the beginning of its body.
var halfPosts = map[string]string{
	"declared": "Content-Length: 10\r\n\r\n4ha",
	"chunked":  "Transfer-Encoding: chunked\r\n\r\n3\r\n4ha\r\n",
}

// jsonpClient is a polling session by JSONP.
type jsonpClient struct {
	*pollingClient
	number string
}

func (jc jsonpClient) poll() string { return unwrap(jc.ts.t, jc.number, jc.pollingClient.poll()) }

// post sends a payload as a browser's form does: it escapes newlines as engine.io-client does, and then escapes the
// payload as a form does.
func (jc jsonpClient) post(payload string) response {
	payload = strings.ReplaceAll(payload, `\n`, "\\\n")
	payload = strings.ReplaceAll(payload, "\n", `\n`)
	return jc.form("d=" + url.QueryEscape(payload))
}

func (jc jsonpClient) form(body string) response {
	return jc.pollingClient.post(body, "Content-Type", "application/x-www-form-urlencoded")
}

// lengthened writes packets as a payload of the session's revision; in revision 3 lengths count UTF-16 units.
func (jc jsonpClient) lengthened(packets ...string) string {
	if jc.rev == engineio.Revision4 {
		return strings.Join(packets, "\x1e")
	}
	var b strings.Builder
	for _, p := range packets {
		units := 0
		for _, r := range p {
			units += max(1, utf8.RuneLen(r)/4+1)
		}
		fmt.Fprintf(&b, "%d:%s", units, p)
	}
	return b.String()
}

// jsonpOptions returns options that serve JSONP to every origin, and to requests that show no origin.
func jsonpOptions() *engineio.ServerOptions {
	return &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}, JSONP: true, AllowedOrigins: []string{"*"}}
}

// unwrap parses the script that a poll returns. The script must call ___eio[number] with one string, which unwrap
// returns.
func unwrap(t *testing.T, number string, resp response) string {
	t.Helper()
	require.NoError(t, resp.err)
	require.Equal(t, http.StatusOK, resp.status, resp.body)
	require.Equal(t, "text/javascript; charset=UTF-8", resp.header.Get("Content-Type"))
	require.Equal(t, "nosniff", resp.header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
	literal, ok := strings.CutPrefix(resp.body, "___eio["+number+"](")
	require.True(t, ok, resp.body)
	literal, ok = strings.CutSuffix(literal, ");")
	require.True(t, ok, resp.body)
	var payload string
	require.NoError(t, json.Unmarshal([]byte(literal), &payload), literal)
	return payload
}

func (ts *testServer) openJSONP(rev engineio.Revision, j, number string, extra ...string) jsonpClient {
	ts.t.Helper()
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=polling&j=%s", rev, j)}, extra...), "&")
	open := unwrap(ts.t, number, ts.request("GET", query, nil))
	sid := sidOf(ts.t, open)
	return jsonpClient{&pollingClient{ts: ts, rev: rev, sid: sid, query: query + "&sid=" + sid}, number}
}

// sidOf returns the session ID in an open packet.
func sidOf(t *testing.T, open string) string {
	t.Helper()
	_, rest, ok := strings.Cut(open, `"sid":"`)
	require.True(t, ok, open)
	sid, _, _ := strings.Cut(rest, `"`)
	return sid
}
