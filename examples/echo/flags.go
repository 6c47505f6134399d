package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bigcompany/mesh/engineio"
)

// flags holds the values of the command line's flags, unchecked.
type flags struct {
	addr, path, cookie           string
	revisions, transports, cors  []string
	interval, timeout, upgrading time.Duration
	maxPayload                   int
	compress                     bool
	secure                       secure
}

func (f *flags) register(set *pflag.FlagSet) {
	set.SortFlags = false
	set.StringVar(&f.addr, "addr", "localhost:3000", "`HOST:PORT` to listen on; port 0 takes a free one")
	set.StringVar(&f.path, "path", engineio.DefaultPath, "`PATH` of the server, answered with and without a slash at its end")
	set.StringSliceVar(&f.revisions, "revisions", []string{"4"}, "protocol `REVISIONS` to serve: 4, or 3,4")
	set.DurationVar(&f.interval, "ping-interval", engineio.DefaultPingInterval, "`TIME` between heartbeats, such as 300ms or 25s")
	set.DurationVar(&f.timeout, "ping-timeout", engineio.DefaultPingTimeout, "`TIME` after which a client that missed a heartbeat is given up")
	set.DurationVar(&f.upgrading, "upgrade-timeout", engineio.DefaultUpgradeTimeout, "`TIME` in which an upgrade must have finished")
	set.IntVar(&f.maxPayload, "max-payload", engineio.DefaultMaxPayload, "largest message, and largest request body, in `BYTES`")
	set.BoolVar(&f.compress, "compress", false, "compress messages on a WebSocket for clients that offer it (permessage-deflate)")
	set.StringSliceVar(&f.transports, "transports", []string{string(engineio.Polling), string(engineio.WebSocket)}, "`TRANSPORTS` to serve")
	set.StringSliceVar(&f.cors, "cors", nil, "`ORIGIN` whose pages may connect, such as https://example.com, or * for all;\n"+
		"may be repeated (default: the server's own only)")
	set.StringVar(&f.cookie, "cookie", "", "set a cookie of this `NAME` to the session's ID when a session opens (default: none)")
	f.secure.register(set)
	for _, name := range []string{"revisions", "transports"} {
		flag := set.Lookup(name)
		flag.DefValue = strings.Trim(flag.DefValue, "[]") // as a user writes it
	}
}

// options checks the flags.
func (f *flags) options() (*engineio.ServerOptions, error) {
	o := &engineio.ServerOptions{
		Path:           f.path,
		PingInterval:   f.interval,
		PingTimeout:    f.timeout,
		UpgradeTimeout: f.upgrading,
		MaxPayload:     f.maxPayload,
		AllowedOrigins: f.cors,

		PerMessageDeflate: f.compress,
	}
	if !strings.HasPrefix(f.path, "/") || strings.Trim(f.path, "/") == "" {
		return nil, fmt.Errorf("--path %q: it must start with a slash and name something, as /engine.io does", f.path)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"ping-interval", f.interval}, {"ping-timeout", f.timeout}, {"upgrade-timeout", f.upgrading}} {
		if d.value < time.Millisecond {
			return nil, fmt.Errorf("--%s %v: it must be at least 1ms", d.flag, d.value)
		}
	}
	if f.maxPayload < 1 {
		return nil, fmt.Errorf("--max-payload %d: it must be at least 1", f.maxPayload)
	}
	for _, r := range f.revisions {
		i := slices.Index([]string{"3", "4"}, r)
		if i < 0 {
			return nil, fmt.Errorf("--revisions %s: there is no such revision here, only 3 and 4", r)
		}
		o.Revisions = append(o.Revisions, []engineio.Revision{engineio.Revision3, engineio.Revision4}[i])
	}
	for _, t := range f.transports {
		if known := engineio.Transport(t); known != engineio.Polling && known != engineio.WebSocket {
			return nil, fmt.Errorf("--transports %s: there is no such transport here, only polling and websocket; see --webtransport", t)
		}
		o.Transports = append(o.Transports, engineio.Transport(t))
	}
	if len(o.Revisions) == 0 || len(o.Transports) == 0 {
		return nil, errors.New("--revisions and --transports must name at least one each")
	}
	if f.cookie != "" {
		o.Cookie = &http.Cookie{Name: f.cookie}
		if err := o.Cookie.Valid(); err != nil {
			return nil, fmt.Errorf("--cookie %q: no cookie can have this name", f.cookie)
		}
	}
	if f.secure.webTransport {
		o.Transports = append(o.Transports, engineio.WebTransport)
	}
	for _, origin := range f.cors {
		if err := engineio.CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("--cors: %s", strings.TrimPrefix(err.Error(), "engineio: AllowedOrigins: "))
		}
	}
	return o, nil
}
