package listener

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/protocol"
)

// mutations is how many mutated frames TestMutations feeds: make mutations asks for ten million, make mutations N=1000000000 for more.
var (
	mutations    = flag.Int64("mutations", 100_000, "mutated frames to feed")
	mutationSeed = flag.Uint64("mutations.seed", 0, "seed of the mutations; 0: by the clock")
)

// species are good frames of each dialect after HELLO, to be spoiled.
func species() [3][][]byte {
	list := protocol.AppendArray(nil, 40)
	for i := range 40 {
		list = protocol.AppendInt(list, int64(i)<<i)
	}
	payload := protocol.AppendMap(nil, 3)
	payload = append(protocol.AppendStr(payload, "amount"), protocol.AppendUint(nil, 1<<40)...)
	payload = append(protocol.AppendStr(payload, "text"), protocol.AppendStr(nil, "grüß dich")...)
	payload = append(protocol.AppendStr(payload, "list"), list...)
	binaryFrames := [][]byte{
		call(7, "x"), protocol.AppendCall(nil, 1<<63, "bank:", "deposit", payload), protocol.AppendCall(nil, 0, "chat:lobby", "say", list),
		protocol.AppendPing(nil, protocol.AppendUint(nil, 99)), protocol.AppendPong(nil, protocol.AppendInt(nil, -1)), protocol.AppendBye(nil),
		helloFrame("ann"), protocol.AppendPush(nil, "chat:x", 9, "said", payload), raw(0x93, 3, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0),
	}
	return [3][][]byte{binaryFrames, {
		[]byte(`[3,7,"echo:","e",{"a":[1,2.5,"x",null,true]}]` + "\n"), []byte(`[3,18446744073709551615,"bank:","deposit",{"amount":5}]` + "\n"),
		[]byte(`[6,1]` + "\n"), []byte(`[9]` + "\n"), []byte(`[3,1,"chat:lobby","say",{"text":"gr\u00fc\u00df \ud83d\ude00"}]` + "\n"),
	}, {
		[]byte("call echo: e {\"a\":1}\n"), []byte("ping\n"), []byte("help\r\n"), []byte("bye\n"), []byte("call bank: deposit 5\n"), []byte("again\n"),
	}}
}

var hellos = [3][]byte{helloFrame("ann"), []byte(`[1,{"v":1,"name":"ann"}]` + "\n"), []byte("hello ann\n")}

// heavy are bytes that decoders trip over.
var heavy = []byte{0x00, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x9f, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd6, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff,
	'[', ']', '{', '"', '\\', ',', '\n', ' ', '0', '-', 'e'}

// spoil changes b in place or gives another one.
func spoil(r *rand.Rand, b []byte, other []byte) []byte {
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return append(b, other...)
		}
		at := r.IntN(len(b))
		switch r.IntN(8) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1, 2:
			b[at] = heavy[r.IntN(len(heavy))]
		case 3:
			b = b[:at]
		case 4:
			b = append(b[:at], b[min(len(b), at+1+r.IntN(8)):]...)
		case 5:
			b = append(b[:at:at], append(bytes.Repeat(heavy[r.IntN(len(heavy)):][:1], 1+r.IntN(24)), b[at:]...)...)
		case 6:
			b = append(b[:at:at], other[r.IntN(len(other)):]...)
		case 7:
			b = append(b, b[at:]...)
		}
	}
	return b
}

// sink is a transport whose bytes come in one or a few pieces.
type sink struct {
	in    []byte
	piece int
	wrote []byte
	over  bool
}

func (p *sink) read(b []byte) (int, error) {
	n := copy(b[:min(len(b), p.piece)], p.in)
	if p.in = p.in[n:]; n == 0 {
		return 0, errAgain
	}
	return n, nil
}
func (p *sink) write(b []byte) (int, error) { p.wrote = append(p.wrote, b...); return len(b), nil }
func (p *sink) awaitWritable()              {}
func (p *sink) poke()                       {}
func (p *sink) halfClose()                  {}
func (p *sink) close()                      { p.over = true }

// breed feeds connections with mutated frames until enough were fed in all, and gives what went wrong, "".
func breed(seed, lane uint64, fed *atomic.Int64, enough int64, known [3][][]byte) string {
	h := &strict{}
	s, err := New(Options{Listener: noListener{}, Words: testWords}, h)
	if err != nil {
		return err.Error()
	}
	r := rand.New(rand.NewPCG(seed, lane))
	buf := make([]byte, 4096)
	var script, spare []byte
	from := compact(netip.MustParseAddrPort("127.0.0.1:1"))
	p := &sink{}
	for fed.Load() < enough {
		dialect := r.IntN(4) % 3 // binary twice as often
		list := known[dialect]
		script = append(script[:0], hellos[dialect]...)
		n := 1 + r.IntN(6)
		for range n {
			spare = append(spare[:0], list[r.IntN(len(list))]...)
			b := spoil(r, spare, list[r.IntN(len(list))])
			if dialect == 0 && r.IntN(4) > 0 && len(b) >= 4 { // a right length lets the body be judged
				binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			}
			script = append(script, b...)
		}
		*h = strict{}
		*p = sink{in: script, piece: 1 + r.IntN(len(script)), wrote: p.wrote[:0]}
		c := &Conn{id: 1, srv: s, t: p, remote: from}
		for c.stage == stageOpen && len(p.in) > 0 {
			c.step(buf, true)
		}
		c.abandon(ReasonStopped)
		for i := 0; c.step(buf, true) != turnOver; i++ {
			if i > 100 {
				return "the connection does not end"
			}
		}
		if !p.over || h.state == 1 || h.state == 2 || c.begun != nil || c.out != nil {
			return "not over"
		}
		for w := p.wrote; dialect == 0 && len(w) > 0; {
			k := frameLen(w)
			if len(w) < 4+k || protocol.CheckFrame(w[4:4+k]) != nil {
				return "it wrote what is no frame"
			}
			w = w[4+k:]
		}
		fed.Add(int64(n))
	}
	return ""
}

// TestMutations: spoiled frames in all dialects, as many as -mutations says. Nothing panics, what is handed over is well-formed, every
// connection ends, memory stays flat.
func TestMutations(t *testing.T) {
	if loops > 0 {
		t.Skip("it has a transport of its own: once is enough")
	}
	seed := *mutationSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	known := species()
	var fed atomic.Int64
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun := time.Now()
	var wg sync.WaitGroup
	for lane := range uint64(runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			defer func() {
				if e := recover(); e != nil {
					t.Errorf("-mutations.seed=%d, lane %d: %v", seed, lane, e)
				}
			}()
			if wrong := breed(seed, lane, &fed, *mutations, known); wrong != "" {
				t.Errorf("-mutations.seed=%d, lane %d: %s", seed, lane, wrong)
			}
		})
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 16<<20 {
		t.Errorf("%d MiB stay in use", grown>>20)
	}
	each := (after.TotalAlloc - before.TotalAlloc) / uint64(max(fed.Load(), 1))
	if each > 16<<10 {
		t.Errorf("%d bytes are allocated for each frame", each)
	}
	t.Logf("%d frames in %v, %d bytes allocated for each", fed.Load(), time.Since(begun).Round(time.Millisecond), each)
}
