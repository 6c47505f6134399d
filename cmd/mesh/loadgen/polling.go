package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// poller is a session by long-polling, on one connection with keep-alive.
type poller struct {
	t    Target
	text bool // the server must send text only
	conn net.Conn
	in   *bufio.Reader
	hello
}

// openPoller opens a connection and a session. The connection has a deadline.
func openPoller(ctx context.Context, t Target, text bool) (*poller, error) {
	p, err := dialPoller(ctx, t, text)
	if err != nil {
		return nil, err
	}
	if err := p.handshake(); err != nil {
		_ = p.conn.Close()
		return nil, err
	}
	return p, nil
}

// dialPoller opens the connection, on which there is a deadline.
func dialPoller(ctx context.Context, t Target, text bool) (*poller, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &poller{t: t, text: text, conn: conn, in: bufio.NewReader(conn)}, nil
}

// handshake opens a new session on the connection.
func (p *poller) handshake() error {
	p.SID = ""
	body, err := p.get()
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	begin, end := bytes.IndexByte(body, '{'), bytes.IndexByte(body, '}')
	if begin < 1 || end < begin { // the text around the JSON is the payload's encoding
		return fmt.Errorf("handshake: no open packet in %.80q", body)
	}
	p.hello, err = parseOpen(body[begin-1 : end+1])
	return err
}

// get polls once.
func (p *poller) get() ([]byte, error) { return p.do(http.MethodGet, "") }

// post sends one packet.
func (p *poller) post(packet string) error {
	if p.t.Revision == 3 {
		packet = fmt.Sprintf("%d:%s", utf8.RuneCountInString(packet), packet)
	}
	_, err := p.do(http.MethodPost, packet)
	return err
}

func (p *poller) do(method, body string) ([]byte, error) {
	if err := p.request(method, body); err != nil {
		return nil, err
	}
	status, answer, err := p.response()
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s: %.80q", method, p.t.uri("polling", ""), status, http.StatusText(status), answer)
	}
	return answer, err
}

// request writes a request. A call of response follows.
func (p *poller) request(method, body string) error {
	uri := p.t.uri("polling", p.SID)
	if p.text {
		uri += "&b64=1"
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, uri, p.t.Host, p.t.authorization())
	if method == http.MethodPost {
		b = fmt.Appendf(b, "Content-Type: text/plain; charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	_, err := p.conn.Write(append(append(b, "\r\n"...), body...))
	return err
}

// response reads the response to the last request.
func (p *poller) response() (status int, body []byte, err error) {
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxFrame+1))
	if len(body) > maxFrame {
		return 0, nil, errEndless // Close would read the rest of the body
	}
	_ = resp.Body.Close() // it has nothing left to read
	return resp.StatusCode, body, err
}

// end closes the session and leaves the connection open for the next session.
func (p *poller) end() error { return p.post("1") }

// endBeside closes the session as browsers' clients do: a poll is under way while other, a second connection, sends the
// close packet. It leaves both connections for the next session.
func (p *poller) endBeside(other *poller) error {
	if err := p.request(http.MethodGet, ""); err != nil {
		return err
	}
	other.hello = p.hello
	if err := other.end(); err != nil {
		return err
	}
	_, _, err := p.response() // 400 if the close packet has overtaken the poll
	return err
}

// EchoPolling opens sessions by long-polling and keeps one message under way on each: a POST that takes it there, and a GET,
// or several, until it is back.
func EchoPolling(ctx context.Context, t Target, o EchoOptions) (Rate, error) {
	text := "4" + strings.Repeat("e", o.Size)
	var times histogram
	var count atomic.Int64
	err := together(ctx, t, o.Connections, o.Duration, func(p *poller, over func() bool) error {
		for !over() {
			began := time.Now()
			if err := p.post(text); err != nil {
				return err
			}
			for back := false; !back; {
				body, err := p.get()
				if err != nil {
					return err
				}
				if bytes.Contains(body, []byte{'2'}) && t.Revision == 4 && !bytes.Contains(body, []byte(text)) {
					if err := p.post("3"); err != nil {
						return err
					}
				}
				back = bytes.Contains(body, []byte(text))
			}
			times.add(time.Since(began))
			count.Add(1)
		}
		return p.end()
	})
	if err != nil {
		return Rate{}, err
	}
	return Rate{Count: int(count.Load()), Elapsed: o.Duration, P50: times.quantile(0.50), P99: times.quantile(0.99)}, nil
}

// together opens n sessions, calls f with each in a separate goroutine, and returns the first error. over reports
// whether the time is over or ctx has ended.
func together(ctx context.Context, t Target, n int, d time.Duration, f func(p *poller, over func() bool) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pollers := make([]*poller, 0, n)
	defer func() {
		for _, p := range pollers {
			_ = p.conn.Close()
		}
	}()
	for i := range n {
		p, err := openPoller(ctx, t, false)
		if err != nil {
			return fmt.Errorf("loadgen: connection %d of %d: %w", i+1, n, err)
		}
		pollers = append(pollers, p)
	}
	end := time.Now().Add(d)
	over := func() bool { return ctx.Err() != nil || !time.Now().Before(end) }
	var wg sync.WaitGroup
	for i, p := range pollers {
		_ = p.conn.SetDeadline(end.Add(patience)) // on a broken connection the next read or write fails
		wg.Go(func() {
			if err := f(p, over); err != nil {
				cancel(fmt.Errorf("loadgen: connection %d: %w", i+1, err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
