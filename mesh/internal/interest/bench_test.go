package interest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// bigIndex returns an index of n patterns, a third of each of three kinds, and of names names. Each has another value.
func bigIndex(n, names int) *Index[int] {
	x := new(Index[int])
	for i := range n {
		id := strconv.Itoa(i)
		switch i % 3 {
		case 0:
			x.Add(i, "device"+id+"::*")
		case 1:
			x.Add(i, "site"+id+"::**")
		default:
			x.Add(i, "*::room"+id+"::temperature")
		}
	}
	for i := range names {
		x.Add(i, "exact"+strconv.Itoa(i))
	}
	return x
}

// manyEvents returns events for bigIndex(n) in random order. Of four events, three are matched by one pattern each,
// equally often by each kind of pattern, and one is matched by no pattern. Their texts are in memory in the order of
// the list, like the text of an event that has just arrived, but their patterns are all over the index. The number of
// events is a power of two.
func manyEvents(n int) []string {
	rnd := rand.New(rand.NewPCG(1, 2))
	events := make([]string, 1<<18)
	for i, kind := range rnd.Perm(len(events)) {
		id := rnd.IntN(n/3) * 3
		switch kind % 8 {
		case 0, 1:
			events[i] = fmt.Sprintf("device%d::status", id)
		case 2, 3:
			events[i] = fmt.Sprintf("site%d::floor%d::lamp", id+1, id%9)
		case 4, 5:
			events[i] = fmt.Sprintf("house%d::room%d::temperature", id, id+2)
		case 6:
			events[i] = fmt.Sprintf("device%d::status::more", id)
		default:
			events[i] = fmt.Sprintf("unknown%d::status", id)
		}
	}
	return events
}

// BenchmarkIndexFindAmongMany searches for another event each time, so that caches and branch prediction help no more
// than in a hub.
func BenchmarkIndexFindAmongMany(b *testing.B) {
	const n = 100_000
	events := manyEvents(n)
	for _, bc := range []struct {
		name  string
		names int
	}{{"patterns=100000", 0}, {"patterns=100000,names=100000", n}} {
		x := bigIndex(n, bc.names)
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			var s Search[int]
			i, found := 0, 0
			for b.Loop() {
				x.Find(events[i&(len(events)-1)], &s)
				found += len(s.Lists)
				i++
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "matches/s")
			if share := float64(found) / float64(i); i > len(events) && (share < 0.74 || share > 0.76) {
				b.Fatalf("found %v of 0.75", share)
			}
		})
		b.Run(bc.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			var start atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				var s Search[int]
				for i := int(start.Add(1)) << 16; pb.Next(); i++ {
					x.Find(events[i&(len(events)-1)], &s)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/float64(runtime.GOMAXPROCS(0)), "matches/s/core")
		})
	}
}

// BenchmarkIndexFind searches for the same event repeatedly.
func BenchmarkIndexFind(b *testing.B) {
	for _, n := range []int{0, 100, 100_000} {
		x := bigIndex(n, max(n, 100))
		for _, name := range []string{"exact77", "device75::status", "site76::a::b::c", "x::room77::temperature", "nobody::wants::this"} {
			if n == 0 && !strings.HasPrefix(name, "exact") {
				continue
			}
			b.Run(fmt.Sprintf("patterns=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				var s Search[int]
				for b.Loop() {
					x.Find(name, &s)
				}
			})
		}
	}
}

func BenchmarkIndexFindParallel(b *testing.B) {
	x := bigIndex(100_000, 0)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var s Search[int]
		for pb.Next() {
			x.Find("device75::status", &s)
		}
	})
}

// BenchmarkIndexSubscribe adds and removes one of 10,000 subscribers of one name, or one pattern among 100,000.
func BenchmarkIndexSubscribe(b *testing.B) {
	b.Run("to a name of 10,000", func(b *testing.B) {
		var x Index[int]
		for v := range 10_000 {
			x.Add(v, "e")
		}
		b.ReportAllocs()
		for b.Loop() {
			x.Add(-1, "e")
			x.Remove(-1, "e")
		}
	})
	b.Run("to a pattern among 100,000", func(b *testing.B) {
		x := bigIndex(100_000, 0)
		b.ReportAllocs()
		for b.Loop() {
			x.Add(-1, "another::*")
			x.Remove(-1, "another::*")
		}
	})
	b.Run("of 100,000 patterns", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bigIndex(100_000, 0)
		}
	})
}

// BenchmarkIndexFindHostile has hostile patterns: random patterns of 16 parts, and patterns that take the maximum
// number of steps of a table.
func BenchmarkIndexFindHostile(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	name := strings.Repeat("a::", 31) + "a"
	for _, bc := range []struct{ members, patterns int }{{1, 64}, {100, 64}, {100, 32}, {400, 32}} {
		b.Run(fmt.Sprintf("members=%d,patterns=%d", bc.members, bc.patterns), func(b *testing.B) {
			var x Index[int]
			for member := range bc.members {
				for range bc.patterns {
					p := "**"
					for range 15 {
						p += [...]string{"::a", "::*"}[rnd.IntN(2)]
					}
					x.Add(member, p)
				}
			}
			var s Search[int]
			for b.Loop() {
				x.Find(name, &s)
			}
			b.ReportMetric(float64(len(s.Lists)), "lists")
		})
	}
}
