package natsbackplane

// maxSources limits the memberships in each of the two maps of latest.
const maxSources = 1024

// latest holds the last sequence number of each membership. It forgets memberships that are silent while more than
// maxSources others send. A duplicate of their messages would have to be in flight during all that time.
type latest struct{ young, old map[source]uint64 }

func newLatest() *latest { return &latest{young: make(map[source]uint64)} }

// swap stores a number if it is higher than the last number of the membership. It returns the last number, or 0 if
// there was no message before.
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
