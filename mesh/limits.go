package mesh

import "time"

// bucket bounds a rate: it holds tokens, up to burst of them, and gets rate more of them each second. The zero value is
// full.
type bucket struct {
	spent float64 // tokens that are missing
	at    time.Time
}

// borrow takes a token, also one that is not there yet, and returns how long it is until it would be.
func (b *bucket) borrow(rate, burst float64) time.Duration {
	b.fill(rate)
	b.spent++
	return time.Duration(max(0, b.spent-burst) / rate * float64(time.Second))
}

func (b *bucket) fill(rate float64) {
	now := time.Now()
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
}
