package interest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/protocol"
)

// found returns the values that an index finds, as one sorted slice with duplicates.
func found(x *Index[string], name string) []string {
	var s Search[string]
	x.Find(name, &s)
	var all []string
	for _, l := range s.Lists {
		all = slices.AppendSeq(all, l.All())
	}
	slices.Sort(all)
	return all
}

func TestIndexFindsNamesAndPatterns(t *testing.T) {
	var x Index[string]
	for _, p := range []string{
		"a", "a::b", "a::b::c", "*", "**", "a::*", "*::b", "a::**", "**::c", "**::b::**", "*::*", "a::*::c", "", "a::", "::a", "*::",
	} {
		x.Add(p, Canonical(p))
	}
	for name, want := range map[string][]string{
		"a":          {"*", "**", "a", "a::**"},
		"b":          {"*", "**", "**::b::**"},
		"c":          {"*", "**", "**::c"},
		"a::b":       {"**", "**::b::**", "*::*", "*::b", "a::*", "a::**", "a::b"},
		"a::b::c":    {"**", "**::b::**", "**::c", "a::**", "a::*::c", "a::b::c"},
		"a::":        {"**", "*::", "*::*", "a::", "a::*", "a::**"},
		"::a":        {"**", "*::*", "::a"},
		"x::y::z":    {"**"},
		"b::b::b::b": {"**", "**::b::**"},
	} {
		require.Empty(t, cmp.Diff(want, found(&x, name)), "name %q", name)
	}
}

func TestIndexForgetsAllThatWasRemoved(t *testing.T) {
	var x Index[int]
	patterns := []string{"a", "a::*", "a::**", "**", "**::b::**", "*::*::c", "a::b::**::c", "x::**::y"}
	for v := range 3 {
		x.Add(v, patterns...)
	}
	for v := range 3 {
		x.Remove(v, patterns...)
		x.Remove(v, patterns...) // a second removal changes nothing
	}
	require.Equal(t, node{flags: hasEdges}, x.nodes[root])
	require.Zero(t, x.edges.count)
	require.Empty(t, cmp.Diff(make([]uint8, len(x.edges.tags)), x.edges.tags))
	require.Len(t, x.freeNodes, len(x.nodes)-root-1, "every node was given back")
	require.Empty(t, cmp.Diff(make([]nodeMeta, len(x.meta)), x.meta, cmp.AllowUnexported(nodeMeta{})))
	require.Len(t, x.freeLists, len(x.lists)-1, "every list was given back")
}

// TestIndexAgreesWithMapAmongMany has very many parts, short ones and long ones with equal beginnings, so that they
// collide in the index's table.
func TestIndexAgreesWithMapAmongMany(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	name := func() string {
		part := strings.Repeat("long", rnd.IntN(7)) + fmt.Sprint(rnd.IntN(3000))
		return part + separator + part[:1+rnd.IntN(len(part))]
	}
	var x Index[int]
	want := map[string]int{}
	for step := range 60_000 {
		n := name()
		switch v, there := want[n]; {
		case !there && rnd.IntN(30_000) > step-20_000: // it first grows, then shrinks
			x.Add(step, n)
			want[n] = step
		case there && step > 20_000:
			x.Remove(v, n)
			delete(want, n)
		}
	}
	require.Greater(t, len(want), 1000)
	var s Search[int]
	for range 60_000 {
		n := name()
		x.Find(n, &s)
		if v, there := want[n]; !there {
			require.Empty(t, s.Lists, n)
		} else {
			require.Equal(t, []List[int]{{{v}}}, s.Lists, n)
			require.False(t, s.ByPattern(0))
		}
	}
	for n, v := range want {
		x.Remove(v, n)
	}
	require.Zero(t, x.edges.count)
}

// TestIndexListsNeverChange holds lists while values are added and removed.
func TestIndexListsNeverChange(t *testing.T) {
	var x Index[int]
	for v := range 10 {
		x.Add(v, "e", "e::*")
	}
	var s Search[int]
	x.Find("e", &s)
	held := s.Lists[0]
	before := slices.Collect(held.All())
	for v := range 10 {
		x.Remove(v, "e")
		x.Add(v+100, "e")
	}
	require.Equal(t, before, slices.Collect(held.All()))
}

// TestListAgreesWithSlice changes a list and a plain slice in the same way, and holds old lists.
func TestListAgreesWithSlice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var l List[int]
	var plain []int
	type held struct {
		list List[int]
		want []int
	}
	var old []held
	for step := range 20_000 {
		// It first grows, then shrinks.
		if v := rnd.IntN(4); len(plain) == 0 || v > step/8_000 {
			l, plain = l.with(step), append(plain, step)
		} else {
			i := rnd.IntN(len(plain))
			l = l.without(plain[i])
			plain = slices.Delete(slices.Clone(plain), i, i+1)
		}
		if step%1000 == 0 {
			old = append(old, held{l, slices.Clone(plain)})
		}
	}
	old = append(old, held{l, plain})
	for _, h := range old {
		require.Equal(t, h.want, slices.Collect(h.list.All()))
		require.LessOrEqual(t, len(h.list), 1+4*len(h.want)/maxChunk, "chunks of %d values", len(h.want))
	}
	require.Equal(t, l, l.without(-1))
}

func TestIndexUpdateIsSeenWholeOrNotAtAll(t *testing.T) {
	var x Index[int]
	x.Add(1, "a::b")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		forms := [][]string{{"a::b"}, {"a::*"}, {"**"}, {"*::b"}}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				x.Update(1, forms[(i+1)%len(forms)], forms[i%len(forms)])
			}
		}
	})
	var s Search[int]
	for range 20_000 {
		x.Find("a::b", &s)
		if len(s.Lists) != 1 || !slices.Equal(s.Lists[0][0], []int{1}) {
			t.Errorf("interest was missed or doubled: %v", s.Lists)
			break
		}
		s.Reset()
	}
	close(stop)
	wg.Wait()
}

// FuzzIndexAgreesWithMatch compares the tree with the plain definition of a match, after additions and removals.
func FuzzIndexAgreesWithMatch(f *testing.F) {
	f.Add("a::*,**,**::b", "a::b", uint64(1))
	f.Add("**::**::a,*::**::*,a", "a::a::a", uint64(2))
	f.Add("a::**::a::**::a,**::a", "a::a::a::a::a::b", uint64(3))
	f.Fuzz(func(t *testing.T, list, name string, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var x Index[string]
		present := map[string]bool{}
		for p := range strings.SplitSeq(list, ",") {
			if protocol.CheckListen(p) != nil || present[Canonical(p)] {
				continue
			}
			c := Canonical(p)
			x.Add(c, c)
			present[c] = true
			if rnd.IntN(3) == 0 {
				x.Remove(c, c)
				delete(present, c)
			}
		}
		if protocol.CheckEmit(name) != nil {
			return
		}
		var want []string
		for p := range present {
			if protocol.Match(p, name) {
				want = append(want, p)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, found(&x, name)); diff != "" {
			t.Fatalf("name %q, patterns %v: %s", name, present, diff)
		}
	})
}

func TestIndexAgreesWithMatchOnRandomInput(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(parts ...string) string {
		var b []string
		for range 1 + rnd.IntN(5) {
			b = append(b, parts[rnd.IntN(len(parts))])
		}
		return strings.Join(b, separator)
	}
	for range 300 {
		var x Index[string]
		present := map[string]bool{}
		for range 40 {
			p := Canonical(random("a", "b", "", "*", "**", "**"))
			if protocol.CheckListen(p) == nil && !present[p] {
				x.Add(p, p)
				present[p] = true
			}
		}
		for p := range present {
			if rnd.IntN(3) == 0 {
				x.Remove(p, p)
				delete(present, p)
			}
		}
		for range 40 {
			name := random("a", "b", "")
			var want []string
			for p := range present {
				if protocol.Match(p, name) {
					want = append(want, p)
				}
			}
			slices.Sort(want)
			require.Empty(t, cmp.Diff(want, found(&x, name)), "name %q", name)
		}
	}
}

// TestIndexVisitsEachNodeOnce has patterns for which a naive search takes exponential time. A search that follows the
// name part by part could visit each node once for each part.
func TestIndexVisitsEachNodeOnce(t *testing.T) {
	for _, parts := range [][]string{{"a", "*"}, {"a", "b", "*"}, {"**", "a"}, {"**", "a", "*", "b"}} {
		rnd := rand.New(rand.NewPCG(7, 8))
		var x Index[int]
		for v := range 1000 {
			p := []string{"**"}
			for range 15 {
				p = append(p, parts[rnd.IntN(len(parts))])
			}
			if v%2 == 0 {
				p = append(p, fmt.Sprint("end", v))
			}
			x.Add(v, Canonical(strings.Join(p, separator)))
		}
		for _, word := range []string{"a", "b", "c"} {
			var s Search[int]
			x.Find(strings.Repeat("a::", 16)+strings.Repeat(word+"::", 15)+"a", &s)
			// A node costs one step for its visit, and one for the look-up of its part.
			require.LessOrEqual(t, s.Steps, 2*len(x.nodes))
			require.Less(t, cap(s.visits), 2000, "visits that wait")
		}
	}
}

// TestStepsBoundTheSearch checks that no event takes more steps than EventTable.Steps returns for the table.
func TestStepsBoundTheSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	random := func(words []string, max int) string {
		p := make([]string, 1+rnd.IntN(max))
		for i := range p {
			p[i] = words[rnd.IntN(len(words))]
		}
		return strings.Join(p, separator)
	}
	words := []string{"*", "**", "*", "**", "a", "b", "c", "d", "e", "f"}
	tight := 0.0
	for range 500 {
		var x Index[string]
		table := protocol.EventTable{}
		for range 1 + rnd.IntN(60) {
			p := Canonical(random(words[rnd.IntN(4):5+rnd.IntN(6)], 10))
			if protocol.IsPattern(p) && !table["mesh::"+p] {
				table["mesh::"+p] = true
				x.Add(p, p)
			}
		}
		var s Search[string]
		for range 50 {
			x.Find(random(words[4:], protocol.MaxParts), &s)
			if bound := table.Steps(); bound > 0 {
				require.LessOrEqual(t, s.Steps, bound, "%v", table)
				tight = max(tight, float64(s.Steps)/float64(bound))
			}
		}
	}
	require.Greater(t, tight, 0.8, "the bound is reached")
}

// TestIndexLooksUpTheFewerParts checks the cost of a node after a "**". With one literal part it costs one look-up,
// and not one for each part of the name. With very many literal parts it costs at most one look-up for each part of the
// name.
func TestIndexLooksUpTheFewerParts(t *testing.T) {
	var x Index[int]
	var name []string
	for v := range protocol.MaxParts {
		name = append(name, fmt.Sprint(v))
		x.Add(v, "**"+strings.Repeat("::*", v)+"::none")
	}
	var s Search[int]
	x.Find(strings.Join(name, separator), &s)
	require.Empty(t, s.Lists)
	require.Equal(t, 1+2*protocol.MaxParts-1, s.Steps) // the root, "**", each "*", and a look-up on each of them except the last

	for v := range 10_000 {
		x.Add(v, fmt.Sprintf("**::x%d", v))
	}
	x.Find(strings.Join(name, separator), &s)
	require.LessOrEqual(t, s.Steps, 1+3*protocol.MaxParts)
}

func TestIndexFindAllocatesNothing(t *testing.T) {
	x := bigIndex(10_000, 10_000)
	var s Search[int]
	allocs := testing.AllocsPerRun(100, func() {
		x.Find("device77::status", &s)
		x.Find("exact77", &s)
	})
	require.Zero(t, allocs)
}
