package engineio

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// respond writes a whole response within WriteTimeout. It flushes the response and then clears the deadline, because
// net/http reuses the connection, and the next request may be for a handler that needs longer.
func (srv *Server) respond(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(srv.opts.WriteTimeout)) // some ResponseWriters do not support it
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return err
	}
	return flush(rc)
}

// respondText is like http.Error, within WriteTimeout.
func (srv *Server) respondText(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = srv.respond(w, status, []byte(message+"\n")) // a broken connection ends by itself
}

func flush(rc *http.ResponseController) error {
	if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// bounded gives the response of h the same write deadline as respond.
func (srv *Server) bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(srv.opts.WriteTimeout)) // some ResponseWriters do not support it
		h.ServeHTTP(w, r)
		_ = flush(rc) // a broken connection ends by itself
		_ = rc.SetWriteDeadline(time.Time{})
	})
}

// unhurried clears the write deadline of the http.Server for a request that may have to wait. On HTTP/2 a deadline that
// passes ends the stream for good.
func unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // some ResponseWriters do not support it
}

// leaveBody keeps net/http from waiting for the rest of an unwanted body, which may never come. If the request has no
// body, its connection stays open, but net/http watches that connection by then: see giveUpConnection.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	giveUpConnection(w, r)
	_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // some ResponseWriters do not support it
}

// giveUpConnection closes the connection after the response. It is for connections whose read deadline may have passed
// while net/http watched for the client's disconnect: net/http mistakes the deadline for the disconnect and cancels the
// connection's context. It would reuse the connection, and each later request on it would begin canceled. On HTTP/2 a
// deadline affects one stream only.
func giveUpConnection(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// abandonRequest ends a poll whose context was done before the poll began. Either the client is gone, or the context of
// an open connection was canceled, which is not the fault of the poll's session. So the session continues, and the
// connection is closed without a response: browsers and proxies then repeat a GET on another connection.
func abandonRequest(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(http.ServerContextKey) != nil {
		panic(http.ErrAbortHandler)
	}
	giveUpConnection(w, r)
	w.WriteHeader(http.StatusBadRequest)
}
