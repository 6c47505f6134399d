package natsbackplane

// maxSources bounds how many memberships a latest knows at a time: twice this.
const maxSources = 1024

// latest knows the number of the last message of each membership. Those that were silent while very many others spoke are
// forgotten: their messages would have to be under way all that time to come twice.
type latest struct{ young, old map[source]uint64 }

func newLatest() *latest { return &latest{young: make(map[source]uint64)} }

// swap notes a number, if it is higher than the last one, which it returns; 0 if there is none.
func (l *latest) swap(from source, number uint64) (before uint64) {
	before, ok := l.young[from]
	if !ok {
		before = l.old[from]
		if len(l.young) >= maxSources {
			l.young, l.old = make(map[source]uint64), l.young
		}
		l.young[from] = before
	}
	if number > before {
		l.young[from] = number
	}
	return before
}
