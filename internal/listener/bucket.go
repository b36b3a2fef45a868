package listener

import "time"

// rateLimit is how many frames a second a bucket lets pass, and how many at once. The zero value limits nothing.
type rateLimit struct {
	interval int64 // nanoseconds that one frame uses up
	window   int64 // nanoseconds that may be used up in advance: burst × interval
}

func newRate(perSecond, burst int) rateLimit {
	if perSecond <= 0 {
		return rateLimit{}
	}
	i := int64(time.Second) / int64(perSecond)
	return rateLimit{interval: i, window: i * int64(max(burst, 1))}
}

const (
	ratePause     = int64(time.Second)      // without a refusal for so long, being over the rate has paused
	rateSustained = int64(10 * time.Second) // over the rate without pause for so long: the connection is closed
)

// bucket holds what one client used up. It is a plain value on the caller's clock (nanoseconds, never going back); the zero
// value is a full allowance.
type bucket struct {
	used      int64 // the moment at which all is given back
	overSince int64
	overLast  int64
}

// take asks for one frame. When it is refused, wait is when one may pass (nanoseconds, > 0), and sustained says that the
// client has been over the rate for ten seconds without pause.
func (b *bucket) take(now int64, r rateLimit) (ok bool, wait int64, sustained bool) {
	if r.interval == 0 {
		return true, 0, false
	}
	used := max(b.used, now) + r.interval
	if over := used - now - r.window; over > 0 {
		if b.overLast == 0 || now-b.overLast > ratePause {
			b.overSince = now
		}
		b.overLast = max(now, 1)
		return false, over, now-b.overSince >= rateSustained
	}
	b.used = used
	return true, 0, false
}
