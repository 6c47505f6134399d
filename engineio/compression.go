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
)

// httpCoding is a way of compressing the answer to a poll, as it is called in HTTP. Compressors take a megabyte each, so
// that they are used again, and no more of them at once than there are processors; none is held while the answer is being
// sent.
type httpCoding struct {
	name        string
	compressors sync.Pool // of compressor
}

type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// httpCodings stand in the order of preference where the client has none. The level is the fastest: a third of the
// default one's time, for a tenth more bytes.
var httpCodings = [...]*httpCoding{
	{name: "gzip", compressors: sync.Pool{New: func() any {
		c, _ := gzip.NewWriterLevel(nil, flate.BestSpeed) // fails for unknown levels only
		return c
	}}},
	{name: "deflate", compressors: sync.Pool{New: func() any { // which is zlib's format, whatever its name
		c, _ := zlib.NewWriterLevel(nil, flate.BestSpeed)
		return c
	}}},
}

func (c *httpCoding) compress(body []byte) []byte {
	deflating <- struct{}{}
	defer func() { <-deflating }()
	z := c.compressors.Get().(compressor)
	defer c.compressors.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	_, _ = z.Write(body) // a bytes.Buffer does not fail
	_ = z.Close()
	z.Reset(nil)
	return b.Bytes()
}

// acceptedCoding chooses a coding by an Accept-Encoding header: by quality, then what it names itself before what it
// means by "*", then in its order. It returns nil if the client accepts none.
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

// quality returns the q-value among parameters, which is 1 if there is none, and 0 if it cannot be read.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q > 0) { // NaN is neither
				return 0
			}
			return q
		}
	}
	return 1
}
