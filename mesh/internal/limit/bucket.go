package limit

import (
	"context"
	"time"
)

// Bucket limits a rate. It holds at most burst tokens, and gets rate tokens per second. The zero value is full.
type Bucket struct {
	Spent float64 // missing tokens
	at    time.Time
}

// Has reports whether the bucket holds n tokens. Without a rate it always does.
func (b *Bucket) Has(n, rate, burst int) bool {
	return rate <= 0 || b.Spent+float64(n) <= float64(burst)
}

// Borrow takes n tokens, even if they are missing, and returns the time until the bucket would hold them.
func (b *Bucket) Borrow(n, rate, burst int) time.Duration {
	b.Fill(time.Now(), rate)
	b.Spent += float64(n)
	return time.Duration(max(0, b.Spent-float64(burst)) / float64(rate) * float64(time.Second))
}

// Fill adds the tokens for the time since the last call.
func (b *Bucket) Fill(now time.Time, rate int) {
	if !b.at.IsZero() {
		b.Spent = max(0, b.Spent-now.Sub(b.at).Seconds()*float64(rate))
	}
	b.at = now
}

// Wait waits for d. It returns false if ctx ended first.
func Wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
