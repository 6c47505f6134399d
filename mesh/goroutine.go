package mesh

import "runtime"

// goroutineID returns the number of the calling goroutine, as it stands at the head of its stack trace ("goroutine 12
// [running]:"). The two questions that need it have no other answer: whether Close, or the off of a listener, was
// called by the very callback that it would otherwise wait for. It costs about a microsecond.
func goroutineID() uint64 {
	var buf [40]byte
	head := buf[:runtime.Stack(buf[:], false)]
	var id uint64
	for _, c := range head[len("goroutine "):] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
