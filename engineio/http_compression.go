package engineio

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// httpCoding is a content coding of HTTP that compresses the response to a poll. A compressor needs a megabyte, so
// compressors are reused, and at most one for each processor works at a time. A response does not hold a compressor
// while it is sent.
type httpCoding struct {
	name        string
	compressors sync.Pool // holds values of type compressor
}

type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// httpCodings are in the server's order of preference, which applies if the client has no preference. The compression
// level is the fastest: it needs a third of the default level's time and produces a tenth more bytes.
var httpCodings = [...]*httpCoding{
	{name: "gzip", compressors: sync.Pool{New: func() any {
		c, _ := gzip.NewWriterLevel(nil, flate.BestSpeed) // fails for unknown levels only
		return c
	}}},
	{name: "deflate", compressors: sync.Pool{New: func() any { // this is the zlib format, despite its name
		c, _ := zlib.NewWriterLevel(nil, flate.BestSpeed)
		return c
	}}},
}

func (c *httpCoding) compress(body []byte) []byte {
	wire.StartCompressing()
	defer wire.StopCompressing()
	z := c.compressors.Get().(compressor)
	defer c.compressors.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	_, _ = z.Write(body) // a bytes.Buffer does not fail
	_ = z.Close()
	z.Reset(nil)
	return b.Bytes()
}

// acceptedCoding chooses a coding by an Accept-Encoding header. The highest quality comes first, then a coding that the
// header names before a coding that only "*" includes, then the order of the header. acceptedCoding returns nil if the
// client accepts no coding.
func acceptedCoding(header string) *httpCoding {
	type acceptance struct {
		quality float64
		named   bool
		place   int
	}
	var accepted [len(httpCodings)]acceptance
	place := 0
	for item := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		name = strings.TrimSpace(name)
		for i, coding := range httpCodings {
			named := strings.EqualFold(name, coding.name)
			if named || name == "*" && !accepted[i].named {
				accepted[i] = acceptance{quality(parameters), named, place}
			}
		}
		place++
	}
	gzip, deflate := accepted[0], accepted[1]
	deflateFirst := deflate.place < gzip.place
	if gzip.named != deflate.named {
		deflateFirst = deflate.named
	}
	if gzip.quality != deflate.quality {
		deflateFirst = deflate.quality > gzip.quality
	}
	switch {
	case max(gzip.quality, deflate.quality) <= 0:
		return nil
	case deflateFirst:
		return httpCodings[1]
	default:
		return httpCodings[0]
	}
}

// quality returns the q-value in parameters. It returns 1 if there is no q-value, and 0 if the value is invalid.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q > 0) { // also true for NaN
				return 0
			}
			return q
		}
	}
	return 1
}
