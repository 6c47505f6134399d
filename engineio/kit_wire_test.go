package engineio_test

import (
	"net/http"
	"strings"
	"time"
)

// The content types of a payload.
const (
	typeText   = "text/plain; charset=UTF-8"
	typeBinary = "application/octet-stream"
)

// deflateTail ends each flushed part of a compressed stream. A message on the wire lacks it.
const deflateTail = "\x00\x00\xff\xff"

// rsv1 marks a compressed message.
const rsv1 = 4

// isUpgrade reports whether a request is the handshake of a WebSocket.
func isUpgrade(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// Defaults, as the documentation of ServerOptions states them.
const (
	defaultReceiveLimit = 8 << 20
	defaultWriteTimeout = 10 * time.Second
)
