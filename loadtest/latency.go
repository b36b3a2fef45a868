package loadtest

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies collects durations from any goroutine.
type latencies struct {
	mu sync.Mutex // guards h
	h  *hdrhistogram.Histogram
}

// newLatencies keeps 1 µs to 10 min, three digits.
func newLatencies() *latencies {
	return &latencies{h: hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)}
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.h.RecordValue(min(max(d, time.Microsecond), 10*time.Minute).Microseconds()) // it fits
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (l *latencies) sum() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	ms := func(us int64) float64 { return math.Round(float64(us)/10) / 100 }
	return Latency{Count: l.h.TotalCount(), P50: ms(l.h.ValueAtQuantile(50)), P99: ms(l.h.ValueAtQuantile(99)), Max: ms(l.h.Max())}
}

// String is for people.
func (l Latency) String() string {
	return fmt.Sprintf("n %d, p50 %.2f ms, p99 %.2f ms, max %.2f ms", l.Count, l.P50, l.P99, l.Max)
}
