package mesh

import "runtime"

// goroutineID returns the number of the calling goroutine, from the first line of its stack trace ("goroutine 12
// [running]:"). Close, and the off function of a listener, need it: they must know whether the callback that they would
// wait for has called them. Node.Request needs it to know whether it runs in a callback. The Go runtime offers no other
// way. The call takes about a microsecond.
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
