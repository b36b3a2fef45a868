package shard

import (
	"sync"
	"sync/atomic"
	"testing"
)

// While a worker runs through batches somebody stops it at any moment and takes half of what is behind: every item is handled or
// taken, none both, and who stops it meets nothing that is being changed (the race detector judges that).
func TestClaimsShareABatch(t *testing.T) {
	var c claims
	c.rest()
	const rounds, size = 2000, 20
	var handled, taken, stops atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for range rounds {
			batch := make([]item, size)
			for i := range batch {
				batch[i].buf = getBuf(16)
				batch[i].buf.b = append(batch[i].buf.b[:0], byte(i))
			}
			c.begin(batch)
			c.next()
			for i := range batch {
				if batch[i].buf != nil {
					handled.Add(1)
				}
				c.next()
				batch[i].free()
			}
			c.rest()
		}
	})
	wg.Go(func() {
		for !done.Load() {
			at, resting := c.step()
			if resting {
				continue
			}
			c.stop(at, func(running *item, rest []item) {
				stops.Add(1)
				if running != nil && running.buf != nil && len(running.buf.b) != 1 {
					t.Error("the memory of the item that is handled was reused")
				}
				for i := len(rest) / 2; i < len(rest); i++ {
					if rest[i].buf != nil {
						taken.Add(1)
						rest[i].free()
					}
				}
			})
		}
	})
	wg.Wait()
	if got := handled.Load() + taken.Load(); got != rounds*size || stops.Load() == 0 {
		t.Fatalf("%d handled and %d taken of %d, stopped %d times", handled.Load(), taken.Load(), rounds*size, stops.Load())
	}
}
