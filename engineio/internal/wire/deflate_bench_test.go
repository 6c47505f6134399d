package wire

import (
	"bytes"
	"compress/flate"
	"io"
	"maps"
	"slices"
	"testing"
)

// BenchmarkInflate measures the time to inflate one KB of expensive messages: zeros, which inflate to a thousand times
// their size, and blocks that consist of a code table only. The documentation of PerMessageDeflate states the worst
// result.
func BenchmarkInflate(b *testing.B) {
	var zeros bytes.Buffer
	w, _ := flate.NewWriter(&zeros, flate.BestCompression)
	_, _ = w.Write(make([]byte, 900_000))
	_ = w.Flush()
	for _, bc := range []struct {
		name string
		body []byte
	}{
		{"zeros", zeros.Bytes()[:zeros.Len()-len(deflateTail)]},
		{"tables", tables(1000, longCodes(136, 1, 3, 4, 5, 7, 8, 9), longCodes(7, 1, 2, 3, 4, 5, 6))},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			z := inflaters.Get().(*inflater)
			for b.Loop() {
				z.source = deflated{bc.body, deflateTail + "\x01" + deflateTail}
				_ = z.Reader.(flate.Resetter).Reset(&z.source, nil)
				if _, err := io.Copy(io.Discard, z.Reader); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/float64(len(bc.body))*1024, "ms/KB")
		})
	}
}

// tables returns about size bytes of blocks. Each block has a code table and the end of the block.
func tables(size int, lengths, distances []int) []byte {
	var w bitWriter
	for len(w.out) < size-100 {
		w.block(lengths, distances)
	}
	w.write(0, 3) // an empty stored block, without its last four bytes
	return w.out
}

// longCodes returns the lengths of a complete code that makes a decoder build the largest number of tables: pairs of
// codes with 10 bits, a few codes of up to 15 bits, and codes of the given lengths, which complete the code.
func longCodes(pairs int, rest ...int) []int {
	l := []int{10, 11, 12, 13, 14, 15, 15}
	for range 2 * pairs {
		l = append(l, 10)
	}
	return append(l, rest...)
}

// bitWriter writes bits from the lowest bit on.
type bitWriter struct {
	out  []byte
	free int
}

func (w *bitWriter) write(v, n int) {
	for ; n > 0; n-- {
		if w.free == 0 {
			w.out, w.free = append(w.out, 0), 8
		}
		w.out[len(w.out)-1] |= byte(v&1) << (8 - w.free)
		w.free--
		v >>= 1
	}
}

// code writes a code, beginning with its highest bit.
func (w *bitWriter) code(v, n int) {
	for n--; n >= 0; n-- {
		w.write(v>>n, 1)
	}
}

// block writes a block with a code table and its end. lengths has the code lengths of literals and of block ends,
// distances those of distances.
func (w *bitWriter) block(lengths, distances []int) {
	const repeat = 16 // repeats the last length 3 to 6 times
	var run [][2]int  // each length, or repeat and its count minus 3
	all := slices.Concat(lengths, distances)
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		run = append(run, [2]int{all[i]})
		for i, n = i+1, n-1; n >= 3; {
			times := min(n, 6)
			run = append(run, [2]int{repeat, times - 3})
			i, n = i+times, n-times
		}
	}
	size := map[int]int{repeat: 1} // code lengths of the length alphabet: repeat has one bit, all others have five
	for _, r := range run {
		if r[0] != repeat {
			size[r[0]] = 5
		}
	}
	for l := 0; len(size) < 17; l++ { // fills the code
		size[l] = 5
	}
	w.write(0, 1) // not the last block
	w.write(2, 2)
	w.write(len(lengths)-257, 5)
	w.write(len(distances)-1, 5)
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	w.write(len(order)-4, 4)
	for _, l := range order {
		w.write(size[l], 3)
	}
	codes := canonicalCodes(size)
	for _, r := range run {
		w.code(codes[r[0]], size[r[0]])
		if r[0] == repeat {
			w.write(r[1], 2)
		}
	}
	ends := map[int]int{}
	for i, l := range lengths {
		ends[i] = l
	}
	w.code(canonicalCodes(ends)[256], lengths[256])
}

// canonicalCodes returns the code of each symbol, computed from the lengths.
func canonicalCodes(size map[int]int) map[int]int {
	codes, next := map[int]int{}, 0
	for l := 1; l <= 15; l++ {
		next <<= 1
		for _, s := range slices.Sorted(maps.Keys(size)) {
			if size[s] == l {
				codes[s] = next
				next++
			}
		}
	}
	return codes
}
