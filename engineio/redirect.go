package engineio

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects bounds the redirects of the request that opens a session. net/http has the same limit.
const maxRedirects = 10

// RedirectError reports that the request that opens a session failed after a redirect by the server.
type RedirectError struct {
	// To is the URL of the last redirect, without its query.
	To string
	// Err is the cause.
	Err error
}

func (e *RedirectError) Error() string { return fmt.Sprintf("after a redirect to %s: %v", e.To, e.Err) }

// Unwrap returns the cause.
func (e *RedirectError) Unwrap() error { return e.Err }

// checkRedirect is the CheckRedirect of the session's HTTP client. It follows a redirect of the request that opens the
// session if the redirect leads to the same host, for instance from http to https. All later requests of the session
// then use the new address, so no POST is redirected. The client sends its credentials only to the host in the user's
// URL, and never over http after https. If the client does not follow a redirect, the response becomes an error that
// names the redirect.
func (c *client) checkRedirect(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer") // it would contain the query, and so the session ID
	if ask := c.opts.HTTPClient; ask != nil && ask.CheckRedirect != nil {
		if err := ask.CheckRedirect(r, via); err != nil {
			return err
		}
	}
	last := via[len(via)-1].URL
	if c.sid != "" || len(via) > maxRedirects || r.Method != via[0].Method || r.URL.User != nil ||
		!strings.EqualFold(r.URL.Hostname(), last.Hostname()) || last.Scheme == "https" && r.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	q := r.URL.Query() // redirects often drop it
	for k, v := range via[0].URL.Query() {
		if !q.Has(k) {
			q[k] = v
		}
	}
	r.URL.RawQuery = q.Encode()
	return nil
}

// settle makes the session use the address to which the request that opened it was redirected.
func (c *client) settle(resp *http.Response) {
	if c.sid != "" || resp.Request == nil || resp.Request.Response == nil {
		return
	}
	u := *resp.Request.URL
	u.Fragment = ""
	q := u.Query()
	q.Del("t")
	u.RawQuery = q.Encode()
	c.url = &u
}

// redirectOf returns the URL to which a response redirects, without the query, which may contain the session ID. It
// returns "" if the response is not a redirect.
func redirectOf(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil || resp.StatusCode/100 != 3 {
		return ""
	}
	return withoutQuery(u)
}

func withoutQuery(u *url.URL) string {
	return oneLine((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String())
}
