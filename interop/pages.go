package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/interop/internal/env"
	"github.com/bigcompany/mesh/mesh"
)

// originalPage is the browser bundle of the original package, resource-mesh, on a page that uses it as the original's
// page does.
const originalPage = "original"

// PageBundles are the browser bundles of revision 3 for RunPageTable: versions of engine.io-client, and the bundle of
// the original package.
var PageBundles = []string{"1.3.1", "1.4.1", "1.5.1", "1.6.11", "1.8.6", "2.1.1", "3.5.4", originalPage}

// PageBrowsers are the browsers for RunPageTable.
var PageBrowsers = []Browser{Chromium, Firefox, WebKit}

// pageModes are the modes of a page's sessions.
var pageModes = []mode{polling, upgrade}

// european holds texts in several scripts. All letters of a text are of one script, so that no text helps a parser to
// decode another text.
var european = []message{{data: "Zürich"}, {data: "voilà, où ça ?"}, {data: "Привет"}, {data: "x: 日本語"}, {data: "é€😀"}}

// pageColumn is one column of the table.
type pageColumn struct {
	title    string
	modes    []mode
	engine   exchange                                             // against a server that echoes; nil if the column tests the hub
	stock    func(ctx context.Context, h *pageHub, p party) error // a page with engine.io-client against a hub
	original func(ctx context.Context, h *pageHub, e *Endpoint) error
}

var pageColumns = []pageColumn{
	{title: "opens", modes: pageModes, engine: echoes(hello), original: originalOpens},
	{title: "text", modes: pageModes, engine: echoes(hello, message{data: "two\nlines"}), original: originalTexts(hello.data)},
	{title: "non-ASCII", modes: pageModes, engine: echoes(european...), original: originalTexts("Zürich", "Привет", "é€😀")},
	{title: "binary", modes: pageModes, engine: echoes(someBytes)},
	{title: "300 in order", modes: []mode{upgrade}, engine: inOrder(300), original: originalOrder},
	{title: "hub", modes: pageModes, stock: stockEvents, original: originalTexts("both ways")},
}

// pageHub is a hub that replies to each ping event with a pong event of the same payload.
type pageHub struct {
	node   *mesh.Node
	server *httptest.Server // rejects WebSocket handshakes in the mode polling

	mu    sync.Mutex
	pings []string      // the texts of the pings
	more  chan struct{} // closed and replaced at each ping
}

func startPageHub(origin string, m mode) (*pageHub, error) {
	node, err := mesh.NewHub(&mesh.Options{AllowedOrigins: []string{origin}})
	if err != nil {
		return nil, err
	}
	h := &pageHub{node: node, more: make(chan struct{})}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && !m.upgrades() {
			http.Error(w, "no WebSocket passes here", http.StatusBadRequest)
			return
		}
		node.ServeHTTP(w, r)
	}))
	node.On("ping", func(e mesh.Event) {
		var payload struct{ Text string }
		err := e.Decode(&payload)
		if err != nil {
			payload.Text = err.Error()
		}
		h.mu.Lock()
		h.pings = append(h.pings, payload.Text)
		close(h.more)
		h.more = make(chan struct{})
		h.mu.Unlock()
		_ = node.Emit("pong", map[string]string{"text": payload.Text})
	})
	return h, nil
}

func (h *pageHub) close() error {
	err := h.node.Close()
	h.server.Close()
	return err
}

// await waits for n pings and returns the texts of all pings so far.
func (h *pageHub) await(ctx context.Context, n int) ([]string, error) {
	for {
		h.mu.Lock()
		pings, more := slices.Clone(h.pings), h.more
		h.mu.Unlock()
		if len(pings) >= n {
			return pings, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, fmt.Errorf("the hub has %d events of %d: %w", len(pings), n, context.Cause(ctx))
		}
	}
}

// expect waits for as many pings as there are texts. The hub must have received exactly these texts, in this order.
func (h *pageHub) expect(ctx context.Context, texts ...string) error {
	pings, err := h.await(ctx, len(texts))
	if err == nil && !slices.Equal(pings, texts) {
		err = fmt.Errorf("the hub received %q, want %q", pings, texts)
	}
	return err
}

// stockEvents sends packets of the mesh as text, because engine.io-client does not know the mesh.
func stockEvents(ctx context.Context, h *pageHub, p party) error {
	table := `"eventTable":{"mesh::pong":{"remote":true}},"headers":{"auth":{}}}`
	texts := []string{"Zürich", "both ways"}
	if err := p.send(ctx, message{data: `{"event":"handshake","payload":{},` + table}); err != nil {
		return err
	}
	for i, text := range texts {
		if err := p.send(ctx, message{data: `{"event":"ping","payload":{"text":"` + text + `"},` + table}); err != nil {
			return err
		}
		m, err := p.receive(ctx)
		if err != nil {
			return err
		}
		if want := `{"event":"pong","payload":{"text":"` + text + `"}}`; m.data != want && !strings.Contains(m.data, `\u`) {
			return fmt.Errorf("the page received %s, want %s", m.data, want)
		}
		if err := h.expect(ctx, texts[:i+1]...); err != nil {
			return err
		}
	}
	return nil
}

// originalOpens expects exactly one session after a second.
func originalOpens(ctx context.Context, h *pageHub, _ *Endpoint) error {
	select {
	case <-time.After(time.Second): // a client that cannot read the responses opens hundreds of sessions in this time
	case <-ctx.Done():
		return ctx.Err()
	}
	if n := h.node.Stats().Peers; n != 1 {
		return fmt.Errorf("the hub has %d peers, want 1", n)
	}
	return nil
}

func originalTexts(texts ...string) func(context.Context, *pageHub, *Endpoint) error {
	return func(ctx context.Context, h *pageHub, e *Endpoint) error {
		for i, text := range texts {
			payload, err := json.Marshal(map[string]string{"text": text})
			if err != nil {
				return err
			}
			if err := e.Do(Command{Do: "emit", Name: "ping", Payload: payload}); err != nil {
				return err
			}
			if err := h.expect(ctx, texts[:i+1]...); err != nil {
				return err
			}
			if err := hearsPong(ctx, e, text); err != nil {
				return err
			}
		}
		return nil
	}
}

func hearsPong(ctx context.Context, e *Endpoint, text string) error {
	ev, err := e.Await(ctx, "heard")
	if err != nil {
		return err
	}
	var got struct{ Text string }
	if err := json.Unmarshal(ev.Payload, &got); err != nil || got.Text != text {
		return fmt.Errorf("the page received %s, want %q", ev.Payload, text)
	}
	return nil
}

func originalOrder(ctx context.Context, h *pageHub, e *Endpoint) error {
	const n = 300
	if err := e.Do(Command{Do: "burst", Name: "ping", Burst: &Burst{Prefix: "client", Count: n}}); err != nil {
		return err
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("client-%d", i))
	}
	if err := h.expect(ctx, want...); err != nil {
		return err
	}
	for _, text := range want {
		if err := hearsPong(ctx, e, text); err != nil {
			return err
		}
	}
	return nil
}

// PageResult is a row of the table.
type PageResult struct {
	Bundle  string
	Browser Browser
	NotRun  string           // why the row was not run; empty if it was
	Errors  map[string]error // by column and mode, such as "text polling"; also "start" and "end"; nil for success
}

func (r PageResult) name() string {
	bundle := "engine.io-client " + r.Bundle
	if r.Bundle == originalPage {
		bundle = "resource-mesh 0.5.1"
	}
	return bundle + " in " + string(r.Browser)
}

// Err joins the errors of the row.
func (r PageResult) Err() error {
	var all []error
	for key, err := range r.Errors {
		if err != nil {
			all = append(all, fmt.Errorf("%s, %s: %w", r.name(), key, err))
		}
	}
	return errors.Join(all...)
}

// rowsAtOnce is the maximum number of browsers that run at the same time.
const rowsAtOnce = 3

// RunPageTable runs each bundle in each browser and returns the rows. It calls done with each row as soon as the row is
// complete. The calls do not overlap.
func RunPageTable(ctx context.Context, bundles []string, browsers []Browser, done func(PageResult)) []PageResult {
	rows := make([]PageResult, len(bundles)*len(browsers))
	slots := make(chan struct{}, rowsAtOnce)
	var running sync.WaitGroup
	var mu sync.Mutex
	for i := range rows {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			rows[i] = runPageRow(ctx, bundles[i%len(bundles)], browsers[i/len(bundles)])
			mu.Lock()
			defer mu.Unlock()
			done(rows[i])
		})
	}
	running.Wait()
	return rows
}

func runPageRow(ctx context.Context, bundle string, browser Browser) PageResult {
	row := PageResult{Bundle: bundle, Browser: browser, Errors: make(map[string]error)}
	page, origin, err := openPage(ctx, bundle, browser)
	if missing, ok := errors.AsType[env.MissingError](err); ok && !env.Required() {
		row.NotRun = missing.Reason()
		return row
	}
	if err != nil {
		row.Errors["start"] = err
		return row
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	for _, column := range pageColumns {
		for _, m := range column.modes {
			if bundle == originalPage && column.original == nil {
				continue
			}
			running.Go(func() {
				err := runPageCell(ctx, column, bundle, page, origin, m)
				mu.Lock()
				defer mu.Unlock()
				row.Errors[column.title+" "+string(m)] = err
			})
		}
	}
	running.Wait()
	if err := page.Quit(); err != nil {
		row.Errors["end"] = err
	}
	return row
}

// pageTimeout bounds one cell.
const pageTimeout = AwaitTimeout

// openPage runs a bundle in a browser. It returns the peer and the origin of its page.
func openPage(ctx context.Context, bundle string, browser Browser) (*Peer, string, error) {
	page, err := RunPage(ctx, bundle, browser)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	if err := page.Node().Do(Command{Do: "where"}); err != nil {
		return nil, "", err
	}
	ev, err := page.Node().Await(ctx, "origin")
	if err != nil {
		return nil, "", errors.Join(err, page.Quit())
	}
	return page, *ev.Text, nil
}

func runPageCell(ctx context.Context, c pageColumn, bundle string, page *Peer, origin string, m mode) (err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	client := peerClient{peer: page}
	if bundle != originalPage && c.engine != nil {
		return c.engine(ctx, client, &ourServer{origins: []string{origin}}, m)
	}
	h, err := startPageHub(origin, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if bundle == originalPage {
		return h.original(ctx, page.Endpoint(), c.original)
	}
	p, err := client.dial(ctx, h.server.URL, setup{mode: m})
	if err != nil {
		return err
	}
	if m.upgrades() {
		if err := p.upgraded(ctx); err != nil {
			return err
		}
	}
	return c.stock(ctx, h, p)
}

// original connects a node on the original's page to the hub and then calls run.
func (h *pageHub) original(ctx context.Context, e *Endpoint, run func(context.Context, *pageHub, *Endpoint) error) error {
	addr := h.server.Listener.Addr().(*net.TCPAddr)
	if err := e.Do(Command{Do: "connect", Host: addr.IP.String(), Port: addr.Port, Name: "pong"}); err != nil {
		return err
	}
	ev, err := e.Await(ctx, "connected", "refused")
	if err != nil {
		return err
	}
	if ev.Kind == "refused" {
		return fmt.Errorf("the page is not connected: %s", ev.Error)
	}
	return run(ctx, h, e)
}

// WritePageTable writes the rows as a table for people. A cell has a mark for each mode, polling first.
func WritePageTable(w io.Writer, rows []PageResult) error {
	lines := [][]string{{"bundle", "browser"}}
	for _, c := range pageColumns {
		lines[0] = append(lines[0], c.title)
	}
	for _, r := range rows {
		line := []string{strings.TrimSuffix(r.name(), " in "+string(r.Browser)), string(r.Browser)}
		for _, c := range pageColumns {
			var marks []string
			for _, m := range c.modes {
				err, ran := r.Errors[c.title+" "+string(m)]
				switch {
				case r.Errors["start"] != nil || err != nil:
					marks = append(marks, "✗")
				case r.NotRun != "":
					marks = append(marks, "?")
				case !ran:
					marks = append(marks, "–")
				default:
					marks = append(marks, "✓")
				}
			}
			line = append(line, strings.Join(marks, " "))
		}
		lines = append(lines, line)
	}
	var b strings.Builder
	writeLines(&b, lines)
	_, err := io.WriteString(w, b.String())
	return err
}
