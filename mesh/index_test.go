package mesh

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
func found(x *index[string], name string) []string {
	var s search[string]
	x.find(name, &s)
	var all []string
	for _, l := range s.lists {
		all = slices.AppendSeq(all, l.all())
	}
	slices.Sort(all)
	return all
}

func TestIndexFindsNamesAndPatterns(t *testing.T) {
	var x index[string]
	for _, p := range []string{
		"a", "a::b", "a::b::c", "*", "**", "a::*", "*::b", "a::**", "**::c", "**::b::**", "*::*", "a::*::c", "", "a::", "::a", "*::",
	} {
		x.add(p, canonical(p))
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
	var x index[int]
	patterns := []string{"a", "a::*", "a::**", "**", "**::b::**", "*::*::c", "a::b::**::c", "x::**::y"}
	for v := range 3 {
		x.add(v, patterns...)
	}
	for v := range 3 {
		x.remove(v, patterns...)
		x.remove(v, patterns...) // a second removal changes nothing
	}
	require.Equal(t, branch{shape: forked}, x.branches[root])
	require.Zero(t, x.forks.count)
	require.Empty(t, cmp.Diff(make([]uint8, len(x.forks.tags)), x.forks.tags))
	require.Len(t, x.spare, len(x.branches)-root-1, "every branch was given back")
	require.Empty(t, cmp.Diff(make([]stem, len(x.stems)), x.stems, cmp.AllowUnexported(stem{})))
	require.Len(t, x.noLists, len(x.lists)-1, "every list was given back")
}

// TestIndexAgreesWithMapAmongMany has very many parts, short ones and long ones with equal beginnings, so that they
// collide in the index's table.
func TestIndexAgreesWithMapAmongMany(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	name := func() string {
		part := strings.Repeat("long", rnd.IntN(7)) + fmt.Sprint(rnd.IntN(3000))
		return part + separator + part[:1+rnd.IntN(len(part))]
	}
	var x index[int]
	want := map[string]int{}
	for step := range 60_000 {
		n := name()
		switch v, there := want[n]; {
		case !there && rnd.IntN(30_000) > step-20_000: // it first grows, then shrinks
			x.add(step, n)
			want[n] = step
		case there && step > 20_000:
			x.remove(v, n)
			delete(want, n)
		}
	}
	require.Greater(t, len(want), 1000)
	var s search[int]
	for range 60_000 {
		n := name()
		x.find(n, &s)
		if v, there := want[n]; !there {
			require.Empty(t, s.lists, n)
		} else {
			require.Equal(t, []list[int]{{{v}}}, s.lists, n)
			require.True(t, s.exact)
		}
	}
	for n, v := range want {
		x.remove(v, n)
	}
	require.Zero(t, x.forks.count)
}

// TestIndexListsNeverChange holds lists while values are added and removed.
func TestIndexListsNeverChange(t *testing.T) {
	var x index[int]
	for v := range 10 {
		x.add(v, "e", "e::*")
	}
	var s search[int]
	x.find("e", &s)
	held := s.lists[0]
	before := slices.Collect(held.all())
	for v := range 10 {
		x.remove(v, "e")
		x.add(v+100, "e")
	}
	require.Equal(t, before, slices.Collect(held.all()))
}

// TestListAgreesWithSlice changes a list and a plain slice in the same way, and holds old lists.
func TestListAgreesWithSlice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var l list[int]
	var plain []int
	type held struct {
		list list[int]
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
		require.Equal(t, h.want, slices.Collect(h.list.all()))
		require.LessOrEqual(t, len(h.list), 1+4*len(h.want)/maxChunk, "chunks of %d values", len(h.want))
	}
	require.Equal(t, l, l.without(-1))
}

func TestIndexUpdateIsSeenWholeOrNotAtAll(t *testing.T) {
	var x index[int]
	x.add(1, "a::b")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		forms := [][]string{{"a::b"}, {"a::*"}, {"**"}, {"*::b"}}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				x.update(1, forms[(i+1)%len(forms)], forms[i%len(forms)])
			}
		}
	})
	var s search[int]
	for range 20_000 {
		x.find("a::b", &s)
		if len(s.lists) != 1 || !slices.Equal(s.lists[0][0], []int{1}) {
			t.Errorf("interest was missed or doubled: %v", s.lists)
			break
		}
		s.reset()
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
		var x index[string]
		present := map[string]bool{}
		for p := range strings.SplitSeq(list, ",") {
			if protocol.CheckListen(p) != nil || present[canonical(p)] {
				continue
			}
			c := canonical(p)
			x.add(c, c)
			present[c] = true
			if rnd.IntN(3) == 0 {
				x.remove(c, c)
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
		var x index[string]
		present := map[string]bool{}
		for range 40 {
			p := canonical(random("a", "b", "", "*", "**", "**"))
			if protocol.CheckListen(p) == nil && !present[p] {
				x.add(p, p)
				present[p] = true
			}
		}
		for p := range present {
			if rnd.IntN(3) == 0 {
				x.remove(p, p)
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

// TestIndexVisitsEachBranchOnce has patterns for which a naive search takes exponential time. A search that follows the
// name part by part could visit each branch once for each part.
func TestIndexVisitsEachBranchOnce(t *testing.T) {
	for _, parts := range [][]string{{"a", "*"}, {"a", "b", "*"}, {"**", "a"}, {"**", "a", "*", "b"}} {
		rnd := rand.New(rand.NewPCG(7, 8))
		var x index[int]
		for v := range 1000 {
			p := []string{"**"}
			for range 15 {
				p = append(p, parts[rnd.IntN(len(parts))])
			}
			if v%2 == 0 {
				p = append(p, fmt.Sprint("end", v))
			}
			x.add(v, canonical(strings.Join(p, separator)))
		}
		for _, word := range []string{"a", "b", "c"} {
			var s search[int]
			x.find(strings.Repeat("a::", 16)+strings.Repeat(word+"::", 15)+"a", &s)
			// A branch costs one step for its visit, and one for the look-up of its part.
			require.LessOrEqual(t, s.steps, 2*len(x.branches))
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
		var x index[string]
		table := protocol.EventTable{}
		for range 1 + rnd.IntN(60) {
			p := canonical(random(words[rnd.IntN(4):5+rnd.IntN(6)], 10))
			if protocol.IsPattern(p) && !table[tablePrefix+p] {
				table[tablePrefix+p] = true
				x.add(p, p)
			}
		}
		var s search[string]
		for range 50 {
			x.find(random(words[4:], protocol.MaxParts), &s)
			if bound := table.Steps(); bound > 0 {
				require.LessOrEqual(t, s.steps, bound, "%v", table)
				tight = max(tight, float64(s.steps)/float64(bound))
			}
		}
	}
	require.Greater(t, tight, 0.8, "the bound is reached")
}

// TestIndexLooksUpTheFewerParts checks the cost of a branch after a "**". With one literal part it costs one look-up,
// and not one for each part of the name. With very many literal parts it costs at most one look-up for each part of the
// name.
func TestIndexLooksUpTheFewerParts(t *testing.T) {
	var x index[int]
	var name []string
	for v := range protocol.MaxParts {
		name = append(name, fmt.Sprint(v))
		x.add(v, "**"+strings.Repeat("::*", v)+"::none")
	}
	var s search[int]
	x.find(strings.Join(name, separator), &s)
	require.Empty(t, s.lists)
	require.Equal(t, 1+2*protocol.MaxParts-1, s.steps) // the root, "**", each "*", and a look-up on each of them except the last

	for v := range 10_000 {
		x.add(v, fmt.Sprintf("**::x%d", v))
	}
	x.find(strings.Join(name, separator), &s)
	require.LessOrEqual(t, s.steps, 1+3*protocol.MaxParts)
}

func TestIndexFindAllocatesNothing(t *testing.T) {
	x := bigIndex(10_000, 10_000)
	var s search[int]
	allocs := testing.AllocsPerRun(100, func() {
		x.find("device77::status", &s)
		x.find("exact77", &s)
	})
	require.Zero(t, allocs)
}
