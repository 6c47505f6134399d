package engineio

import (
	"net/url"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// dialect is the way in which a client of revision 3 encodes text. Clients do not send the name of their dialect. See
// "Text in revision 3" in docs/engineio.md.
type dialect uint8

const (
	unknownDialect dialect = iota
	singleDialect          // parser 2.x: text in UTF-8 once
	doubleDialect          // parser 1.1 to 1.3, so engine.io-client 1.4 to 1.8: text payloads have UTF-8 twice
	oldestDialect          // parser 1.0, so engine.io-client 1.2 and 1.3: WebSocket frames too
)

// dialectOf returns the dialect that the query of a handshake reveals. Clients before 1.4 send EIO=2. By polling,
// clients from 1.2 to 1.5 send a timestamp such as "1395794813200-0", as t or under a name that their user chose.
func dialectOf(q url.Values, transport Transport) dialect {
	old := isTimestampOfOldClient(q.Get("t"))
	if !q.Has("t") {
		for _, v := range q {
			old = old || len(v[0]) >= len("1395794813200-0") && isTimestampOfOldClient(v[0])
		}
	}
	switch {
	case q.Get("EIO") == "2" && (old || transport == WebSocket):
		return oldestDialect
	case old:
		return doubleDialect
	}
	return unknownDialect
}

// isTimestampOfOldClient reports whether t consists of digits, a dash, and digits.
func isTimestampOfOldClient(t string) bool {
	a, b, ok := strings.Cut(t, "-")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return ok && digits(a) && digits(b)
}

// learn returns the dialect after packets arrived in a text payload.
func (d dialect) learn(packets []packet.Packet) dialect {
	shows := func(witness func([]byte) bool) bool {
		return slices.ContainsFunc(packets, func(p packet.Packet) bool { return !p.Binary && witness(p.Data) })
	}
	switch {
	case d != unknownDialect:
	case shows(packet.IsSingleUTF8):
		return singleDialect
	case shows(packet.IsDoubleUTF8):
		return doubleDialect
	}
	return d
}
