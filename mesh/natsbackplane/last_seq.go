package natsbackplane

// maxSources limits the memberships in each of the two maps of lastSeq.
const maxSources = 1024

// lastSeq holds the last sequence number of each membership. It forgets memberships that are silent while more than
// maxSources others send. A duplicate of their messages would have to be in flight during all that time.
type lastSeq struct{ cur, prev map[source]uint64 }

func newLastSeq() *lastSeq { return &lastSeq{cur: make(map[source]uint64)} }

// update stores a number if it is higher than the last number of the membership. It returns the last number, or 0 if
// there was no message before.
func (l *lastSeq) update(from source, seq uint64) (last uint64) {
	last, ok := l.cur[from]
	if !ok {
		last = l.prev[from]
		if len(l.cur) >= maxSources {
			l.cur, l.prev = make(map[source]uint64), l.cur
		}
		l.cur[from] = last
	}
	if seq > last {
		l.cur[from] = seq
	}
	return last
}
