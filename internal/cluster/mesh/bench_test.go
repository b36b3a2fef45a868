package mesh

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gamed/internal/envelope"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func hot() *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Frames, Part: 77, Term: 3, Conn: 12345, Key: "player/player-00001", Payload: make([]byte, 85)}
}

// BenchmarkRoundTrip sends a batch of n envelopes over loopback; the other side sends each back; then the next batch goes. It
// reports the processor time of one envelope there and back, both nodes included.
func BenchmarkRoundTrip(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		for _, how := range []string{"send", "queue"} {
			b.Run(fmt.Sprintf("%s/%d", how, n), func(b *testing.B) { roundTrip(b, n, how) })
		}
	}
}

func roundTrip(b *testing.B, n int, how string) {
	var a, z *node
	var back atomic.Int64
	done := make(chan struct{}, 1)
	put := func(m *Mesh, to NodeID, e *envelope.Envelope) {
		var err error
		if how == "queue" {
			err = m.Queue(to, e)
		} else {
			err = m.Send(to, e)
		}
		if err != nil {
			b.Error(err)
		}
	}
	z = start(b, id("z", 2), func(o *Options) {
		o.Receive = func(from NodeID, _ Lane, e *envelope.Envelope) { put(z.Mesh, from, e) }
		o.BatchEnd = func(NodeID, Lane) { z.Flush() }
	})
	a = start(b, id("a", 1), func(o *Options) {
		o.Receive = func(NodeID, Lane, *envelope.Envelope) {
			if back.Add(1)%int64(n) == 0 {
				done <- struct{}{}
			}
		}
	})
	know(a, z)
	awaitLinks(b, a, z)
	e := hot()
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	for i := 0; i < b.N; i += n {
		for range n {
			put(a.Mesh, z.self(), e)
		}
		a.Flush()
		<-done
	}
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}
