package engineio

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// respond writes a whole response within WriteTimeout. It flushes the response and clears the deadline, because net/http
// keeps the connection, and the next request may belong to a handler that needs longer.
func (srv *Server) respond(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(srv.opts.WriteTimeout)) // not every ResponseWriter can
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return err
	}
	return flush(rc)
}

// respondText is http.Error within WriteTimeout.
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

// bounded gives a handler's response the write deadline of respond.
func (srv *Server) bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(srv.opts.WriteTimeout)) // not every ResponseWriter can
		h.ServeHTTP(w, r)
		_ = flush(rc) // a broken connection ends by itself
		_ = rc.SetWriteDeadline(time.Time{})
	})
}

// unhurried clears the deadlines of the http.Server for a request that may have to wait. On HTTP/2 a deadline that passes
// ends the stream for good.
func unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not every ResponseWriter can
}

// leaveBody keeps net/http from waiting for the rest of a body that the server does not want, which may never come. A
// request without a body keeps its connection, which net/http watches by then: see giveUpConnection.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	giveUpConnection(w, r)
	_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // not every ResponseWriter can
}

// giveUpConnection closes the connection after the response. It is for every connection whose read deadline may have
// passed while net/http was watching it for the client's disconnect: net/http takes that for the disconnect and cancels
// the connection's context. It would keep the connection, and each later request on it would begin canceled.
// On HTTP/2, deadlines concern one stream only.
func giveUpConnection(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// abandonRequest ends a poll whose context was done before the poll began. Either the client is gone, or something has
// canceled the context of a connection that lives on, which is not the fault of the poll's session. So the session goes
// on, and the connection is closed without a response: browsers and proxies then repeat a GET on another one.
func abandonRequest(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(http.ServerContextKey) != nil {
		panic(http.ErrAbortHandler)
	}
	giveUpConnection(w, r)
	w.WriteHeader(http.StatusBadRequest)
}
