package listener

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"gamed/protocol"
)

// noListener never accepts anything.
type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return &net.TCPAddr{} }

// mirror is the cheapest echo: each CALL goes back as a REPLY, all of one read in one write. Its connections must not share it.
type mirror struct{ out []byte }

func (h *mirror) Hello(c *Conn, _ protocol.Hello) { c.Welcome(welcomeFrame(c.Player())) }
func (h *mirror) Bye(c *Conn)                     { c.Close() }
func (h *mirror) Closed(*Conn, Reason)            {}
func (h *mirror) Frames(c *Conn, batch []byte) {
	h.out = h.out[:0]
	for len(batch) > 0 {
		n := frameLen(batch)
		if call, ok := protocol.ParseCall(batch[4 : 4+n]); ok {
			h.out = protocol.AppendReply(h.out, call.Ref, call.Payload)
		}
		batch = batch[4+n:]
	}
	c.Send(h.out)
}

// BenchmarkEcho is a round trip over loopback, client included, with n calls under way; an op is one call.
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(map[int]string{1: "1", 16: "16"}[n], func(b *testing.B) {
			p := dial(b, start(b, &mirror{}, nil))
			_ = p.SetDeadline(noDeadline)
			p.hello("ann")
			text := strings.Repeat("x", 64)
			var out []byte
			for i := range uint64(n) {
				out = append(out, call(1000+i, text)...)
			}
			in := make([]byte, len(protocol.AppendReply(nil, 1000, protocol.AppendStr(nil, text)))*n)
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				if _, err := p.Conn.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(p.Conn, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInput is the listener's work on a read without the socket: 16 calls, checked, judged and handed over.
func BenchmarkInput(b *testing.B) {
	s, err := New(Options{Listener: noListener{}, Rate: 1 << 30}, &mirror{})
	if err != nil {
		b.Fatal(err)
	}
	c := &Conn{srv: s, t: &sinkhole{}}
	c.input(helloFrame("ann"))
	var in []byte
	for i := range uint64(16) {
		in = append(in, call(1000+i, strings.Repeat("x", 64))...)
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += 16 {
		if !c.input(in) {
			b.Fatal(c.end)
		}
	}
}

type sinkhole struct{ tape }

func (*sinkhole) write(b []byte) (int, error) { return len(b), nil }

// BenchmarkIdle tells the memory of an idle connection, both ends' kernel memory not counted; the client's share is counted.
func BenchmarkIdle(b *testing.B) {
	const n = 2000
	for range b.N {
		s := start(b, &mirror{}, nil)
		memory := func() (heap, stack uint64) {
			for range 5 { // each shrinks a stack by half at most
				runtime.GC()
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, m.StackInuse
		}
		heap0, stack0 := memory()
		conns := make([]net.Conn, n)
		for i := range conns {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = conn
			if _, err := conn.Write(helloFrame("ann")); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, len(welcomeFrame("ann")))); err != nil {
				b.Fatal(err)
			}
		}
		heap, stack := memory()
		b.ReportMetric(float64(heap-heap0)/n, "heapB/conn")
		b.ReportMetric(float64(stack-stack0)/n, "stackB/conn")
		b.ReportMetric(float64(unsafe.Sizeof(Conn{})), "B/Conn")
		for _, c := range conns {
			_ = c.Close()
		}
		await(b, "all closed", func() bool { return s.Count() == 0 })
	}
}
