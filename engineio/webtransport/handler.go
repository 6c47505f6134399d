package webtransport

import (
	"context"
	"net/http"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// Handler returns a handler that opens sessions of engine over the WebTransport sessions that wt accepts. It is for
// programs that already have an HTTP/3 server: mount it in wt.H3 at the path of engine. It passes all other requests to
// engine. The limits of wt apply. wt.CheckOrigin must admit the origins that engine's options admit.
func Handler(wt *webtransport.Server, engine *engineio.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			engine.ServeHTTP(w, r)
			return
		}
		engine.ServeHTTP(w, wtstream.With(r, func(ctx context.Context) (wtstream.Stream, error) {
			session, err := wt.Upgrade(w, r)
			if err != nil {
				http.Error(w, "this is no WebTransport session", http.StatusBadRequest)
				return nil, err
			}
			holdOpen(r, session)
			first, err := session.AcceptStream(ctx)
			if err != nil {
				_ = session.CloseWithError(0, "")
				return nil, err
			}
			return &stream{Stream: first, session: session, request: w.(http3.HTTPStreamer).HTTPStream()}, nil
		}))
	})
}
