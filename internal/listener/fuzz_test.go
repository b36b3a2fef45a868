package listener

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"gamed/protocol"
)

// tape is a transport that plays bytes in random pieces and takes some of what is written.
type tape struct {
	in     []byte
	cut    *rand.Rand
	wrote  []byte
	closed bool
}

func (p *tape) read(b []byte) (int, error) {
	for i := range b { // what was read is valid for one step only
		b[i] = 0xdd
	}
	switch {
	case len(p.in) == 0:
		return 0, io.EOF
	case p.cut.IntN(8) == 0:
		return 0, errAgain
	}
	n := copy(b, p.in[:1+p.cut.IntN(min(len(p.in), 1+p.cut.IntN(200)))])
	p.in = p.in[n:]
	return n, nil
}

func (p *tape) write(b []byte) (int, error) { p.wrote = append(p.wrote, b...); return len(b), nil }
func (p *tape) awaitWritable()              {}
func (p *tape) poke()                       {}
func (p *tape) halfClose()                  {}
func (p *tape) close()                      { p.closed = true }

// play runs a connection on a tape to its end. Time flies: no clock is running.
func play(c *Conn, all bool) {
	buf := make([]byte, 256)
	for c.step(buf, all) != turnOver {
		c.srv.clock.coarse.Add(int64(10 * time.Millisecond))
	}
}

// strict is a handler that panics on a broken promise.
type strict struct {
	state int // 0 nothing, 1 said hello, 2 said bye, 3 closed
	calls int
}

func (h *strict) move(from ...int) {
	for _, f := range from {
		if h.state == f {
			return
		}
	}
	panic("calls out of order")
}

func (h *strict) Hello(c *Conn, _ protocol.Hello) {
	h.move(0)
	h.state = 1
	if !protocol.ValidPlayer(c.Player()) {
		panic("bad name")
	}
	c.Welcome(welcomeFrame(c.Player()))
}

func (h *strict) Frames(c *Conn, batch []byte) {
	h.move(1)
	if len(batch) == 0 {
		panic("empty batch")
	}
	for len(batch) > 0 {
		n := frameLen(batch)
		call, ok := protocol.ParseCall(batch[4 : 4+n])
		if !ok {
			panic("no call")
		}
		if !c.Text() && protocol.CheckFrame(batch[4:4+n]) != nil {
			panic("unchecked")
		}
		h.calls++
		c.Send(protocol.AppendReply(nil, call.Ref, call.Payload))
		batch = batch[4+n:]
	}
}

func (h *strict) Bye(c *Conn)          { h.move(1); h.state = 2; c.Close() }
func (h *strict) Closed(*Conn, Reason) { h.move(1, 2); h.state = 3 }

// FuzzBytes feeds bytes in random pieces: nothing panics, the connection always ends, what is written is whole frames, and the
// same bytes in other pieces give the same calls.
func FuzzBytes(f *testing.F) {
	hello := helloFrame("ann")
	f.Add(uint64(1), append(append(append([]byte{}, hello...), call(1, "x")...), protocol.AppendBye(nil)...))
	f.Add(uint64(2), append(append([]byte{}, hello...), raw(0x95, 3, 1, 0xa0, 0xa1, 'e', 0xdd, 0xff, 0xff, 0xff, 0xff)...))
	f.Add(uint64(3), []byte(`[1,{"v":1,"name":"ann"}]`+"\n"+`[3,1,"echo:","e",{"a":[1,2.5,"x"]}]`+"\n[6,1]\n[9]\n"))
	f.Add(uint64(4), []byte("hello ann\njoin chat:x\nsay hi\ncall echo: e {\"a\":1}\nagain\nhelp\nping\nbye\n"))
	f.Add(uint64(5), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(uint64(6), []byte{0x16, 3, 1})
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		s, err := New(Options{Listener: noListener{}, Words: testWords}, &strict{})
		if err != nil {
			t.Fatal(err)
		}
		var calls [2]int
		for i := range calls {
			h := &strict{}
			s.h = h
			tp := &tape{in: append([]byte(nil), b...), cut: rand.New(rand.NewPCG(seed, uint64(i)))}
			c := &Conn{id: 1, srv: s, t: tp, remote: compact(netip.MustParseAddrPort("127.0.0.1:1"))}
			play(c, i == 0)
			if !tp.closed || h.state == 1 || h.state == 2 || phase(c.phase.Load()) != phaseClosed || c.begun != nil || c.out != nil {
				t.Fatalf("not over: state %d", h.state)
			}
			if c.talk == dialectBinary {
				for w := tp.wrote; len(w) > 0; {
					n := frameLen(w)
					if len(w) < 4+n || protocol.CheckFrame(w[4:4+n]) != nil {
						t.Fatalf("wrote % x", w)
					}
					w = w[4+n:]
				}
			}
			calls[i] = h.calls
		}
		if calls[0] != calls[1] {
			t.Fatalf("cut differently, %d or %d calls", calls[0], calls[1])
		}
	})
}
