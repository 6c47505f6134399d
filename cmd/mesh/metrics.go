package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/logthrottle"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
	"github.com/bigcompany/mesh/mesh/metrics"
)

// The paths at which a hub reports that it serves, and that clients may be sent to it.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// Bounds of the server of --metrics-addr, and of the number of concurrent reads of metrics anywhere.
const (
	metricsHeaderTimeout = 5 * time.Second
	metricsWriteTimeout  = 10 * time.Second
	metricsIdleTimeout   = 2 * time.Minute
	metricsMaxHeader     = 64 << 10
	metricsAtOnce        = 3
)

// metricsFlags configures where a node serves its metrics.
type metricsFlags struct {
	path, addr string
	mux        *http.ServeMux // of the hub's listener
	listener   net.Listener   // the listener of --metrics-addr, or nil
}

func (f *metricsFlags) register(set *pflag.FlagSet, command string) {
	elsewhere := "serve metrics for Prometheus at http://`ADDRESS`/metrics, which the hub's peers need not reach, such as localhost:9100"
	if command != "connect" {
		set.StringVar(&f.path, "metrics", "", "serve metrics for Prometheus at `PATH` of the hub, such as /metrics (default: not at all)")
		elsewhere += "; with --metrics, at the PATH of --metrics of this address, and not at the hub"
	}
	set.StringVar(&f.addr, "metrics-addr", "", elsewhere+" (default: not at all)")
}

// prepare checks the flags, sets a hub's handler for requests beside the mesh, and listens on the address for metrics.
func (f *metricsFlags) prepare(ctx context.Context, opts *mesh.Options) error {
	if f.path == "" && f.addr != "" {
		f.path = "/metrics"
	}
	if f.path != "" {
		if err := f.checkPath(opts.Addr); err != nil {
			return fmt.Errorf("--metrics %s: %w", f.path, err)
		}
	}
	f.mux = http.NewServeMux()
	opts.Handler = f.mux
	if f.addr == "" {
		return nil
	}
	if err := f.checkAddr(); err != nil {
		return err
	}
	var lc net.ListenConfig
	var err error
	f.listener, err = lc.Listen(ctx, "tcp", f.addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--metrics-addr %s is in use: take another one", f.addr)
	case err != nil:
		return fmt.Errorf("--metrics-addr %s: %w", f.addr, err)
	}
	return nil
}

// checkAddr returns an error that suggests a valid address, unless the address is host:port.
func (f *metricsFlags) checkAddr() error {
	if _, _, err := net.SplitHostPort(f.addr); err == nil {
		return nil
	}
	like := "localhost:9100"
	if _, err := strconv.ParseUint(f.addr, 10, 16); err == nil {
		like = "localhost:" + f.addr
	}
	return fmt.Errorf("--metrics-addr %s: give host:port, such as %s", f.addr, like)
}

// close releases the address.
func (f *metricsFlags) close() {
	if f.listener != nil {
		_ = f.listener.Close() // for the second time, if the server has run
	}
}

func (f *metricsFlags) checkPath(addr string) error {
	engine := engineio.DefaultPath
	addr, _, _ = strings.Cut(addr, ",") // the first address is the node's own
	if u, err := url.Parse(addr); err == nil && strings.Contains(addr, "://") && strings.Trim(u.Path, "/") != "" {
		engine = strings.TrimRight(u.Path, "/")
	}
	switch {
	case !strings.HasPrefix(f.path, "/"):
		return errors.New("it must begin with a slash")
	case strings.ContainsAny(f.path, "{}?#% ") || path.Clean(f.path) != f.path:
		return errors.New("it must be a plain path, such as /metrics")
	case f.path == healthPath || f.path == readyPath || f.path == "/" || gateway.Serves(f.path, true) || strings.HasPrefix(f.path+"/", engine+"/"):
		return errors.New("the hub itself answers there: take another path, such as /metrics")
	}
	return nil
}

// serve serves the metrics and health checks of a node until the caller calls hide. A hub whose clients are moving to
// other hubs is healthy until the end, because a supervisor that kills unhealthy hubs would interrupt the moves. It is
// not ready, so that no new clients are sent to it.
func (f *metricsFlags) serve(ctx context.Context, node *mesh.Node, opts *mesh.Options, logs *logFlags) (hide func()) {
	f.mux.Handle("GET "+healthPath, healthHandler(func() error {
		if node.Err() != nil {
			return errEnding
		}
		if err := node.Ready(); errors.Is(err, mesh.ErrBackplaneClosed) {
			return err // only a restart helps
		}
		return nil
	}))
	f.mux.Handle("GET "+readyPath, healthHandler(func() error {
		if ctx.Err() != nil {
			return errEnding
		}
		return node.Ready()
	}))
	if f.path == "" {
		return func() {}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(node),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c, ok := opts.Backplane.(prometheus.Collector); ok {
		registry.MustRegister(c)
	}
	handler := node.RejectRebound(requireAuth(opts, buffered(promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsAtOnce}))))
	if f.listener == nil {
		f.mux.Handle("GET "+f.path, handler)
		if node.Role() == mesh.RoleHub {
			scheme, _, _ := strings.Cut(node.URL(), "://") // a hub may have TLS
			where := scheme + "://" + node.Addr() + f.path
			logs.notice("metrics at "+where, "url", where)
		} else {
			logs.notice("no metrics, because this node is not a hub: --metrics-addr serves them in any role")
		}
		return func() {}
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+f.path, handler)
	server := &http.Server{
		Handler:        mux,
		ReadTimeout:    metricsHeaderTimeout,
		WriteTimeout:   metricsWriteTimeout,
		IdleTimeout:    metricsIdleTimeout,
		MaxHeaderBytes: metricsMaxHeader,
		ErrorLog:       slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
			opts.Logger.Error("mesh: the metrics have ended: their listener failed", "addr", f.addr, "error", err)
		}
	}()
	where := "http://" + f.listener.Addr().String() + f.path
	logs.notice("metrics at "+where, "url", where)
	return func() {
		_ = server.Close()
		<-done
	}
}

// buffered makes h write its response to memory first. A client that does not read then holds none of the metricsAtOnce
// places.
func buffered(h http.Handler) http.Handler {
	return http.TimeoutHandler(h, metricsWriteTimeout, "collecting the metrics took too long\n")
}

// healthHandler responds with 200 while check returns nil, and otherwise with 503 and the error in one line. The
// response itself proves that the hub's listener accepts connections and that its server runs.
func healthHandler(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		text := "ok"
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = strings.TrimPrefix(strings.TrimPrefix(err.Error(), "mesh: "), "natsbackplane: ")
		}
		_, _ = io.WriteString(w, text+"\n")
	}
}

var errEnding = errors.New("ending")

// requireAuth requires the same credentials as the hub does of its peers, if it does: user and password by HTTP basic
// authentication, or a bearer token.
func requireAuth(opts *mesh.Options, h http.Handler) http.Handler {
	if opts.Authorize == nil {
		return h
	}
	var log logthrottle.Throttle
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := mesh.Credentials{RemoteAddr: r.RemoteAddr}
		c.User, c.Password, _ = r.BasicAuth()
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			c.Token = token
		}
		if err := opts.Authorize(r.Context(), c); err != nil {
			if times := log.Allow(); times > 0 {
				opts.Logger.Warn("mesh: metrics refused", "remote", r.RemoteAddr, "times", times)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="mesh"`)
			http.Error(w, "refused", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
