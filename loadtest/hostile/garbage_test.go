package hostile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/protocol"
)

// flat is by how much the process may grow, in MiB, however much garbage it gets. A single length that is believed is gigabytes.
const flat = 64

// attack is what one connection sends, and what is known of the answer.
type attack struct {
	what  string
	bytes []byte
	half  bool     // then the sending side is closed
	want  []string // one of them is in what the server answers; nil: nothing is known, but that each line or frame is whole
}

// helloOf begins a session in a dialect: 0 binary, 1 JSON, 2 words.
func helloOf(dialect int, name string) []byte {
	switch dialect {
	case 0:
		return hello(name, "")
	case 1:
		return []byte(`[1,{"v":1,"name":"` + name + `"}]` + "\n")
	}
	return []byte("hello " + name + "\n")
}

// garbage makes attacks.
type garbage struct {
	*rand.Rand
	who string
}

func (g *garbage) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *garbage) pick(list ...string) string { return list[g.IntN(len(list))] }

// frame is a good frame of some kind.
func (g *garbage) frame() []byte {
	switch g.IntN(5) {
	case 0:
		return protocol.AppendPing(nil, protocol.AppendUint(nil, g.Uint64()))
	case 1:
		return hello(g.who, "s")
	case 2:
		return protocol.AppendPush(nil, "chat:x", g.Uint64(), "said", nil)
	}
	return protocol.AppendCall(nil, g.Uint64N(100), g.pick("echo:", "bank:", "chat:x", "trivia:x", "no:", "", "\x00"),
		g.pick("e", "join", "deposit", "answer", ""), protocol.AppendStr(nil, g.noise(g.IntN(300))))
}

func (g *garbage) attack() attack {
	dialect := g.IntN(3)
	begin := helloOf(dialect, g.who)
	logged := g.IntN(3) > 0
	if !logged {
		begin = [][]byte{nil, []byte("["), []byte("h")}[dialect]
	}
	text := dialect > 0
	switch g.IntN(9) {
	case 0:
		return attack{what: "noise", bytes: append(begin, g.noise(g.IntN(5000))...), half: true}
	case 1: // after a zero byte so that it is a frame
		return attack{what: "noise behind a zero", bytes: append([]byte{0}, g.noise(g.IntN(3000))...), half: true}
	case 2:
		f := g.frame()
		for range 1 + g.IntN(4) {
			f[4+g.IntN(len(f)-4)] = byte(g.Uint32())
		}
		return attack{what: "a spoiled frame", bytes: append(hello(g.who, ""), f...), half: true}
	case 3:
		f := g.frame()
		return attack{what: "a frame cut short", bytes: append(hello(g.who, ""), f[:g.IntN(len(f))]...), half: true}
	case 4: // behind what was begun in words or JSON it is just bytes
		n := uint32(protocol.MaxFrameIn + 1 + g.IntN(1<<20))
		if g.IntN(2) == 0 {
			n = ^uint32(0) >> 8 // the largest that begins with a zero byte
		}
		b := binary.BigEndian.AppendUint32(nil, n)
		if logged {
			b = append(hello(g.who, ""), b...)
		}
		return attack{what: "an oversize length", bytes: append(b, g.noise(g.IntN(5000))...), want: []string{"frame_too_large"}}
	case 5:
		return attack{what: "a length of zero", bytes: append(hello(g.who, ""), 0, 0, 0, 0), want: []string{"bad_frame"}}
	case 6:
		if !text {
			b := binary.BigEndian.AppendUint32(nil, uint32(protocol.MaxFrameHello+1))
			return attack{what: "a HELLO over 4,096 bytes", bytes: append(b, g.noise(4097)...), want: []string{"frame_too_large"}}
		}
		n := protocol.MaxFrameIn + 2 + g.IntN(1000)
		return attack{what: "a long line", bytes: append(begin, bytes.Repeat([]byte("x"), n)...), want: []string{"frame_too_large"}}
	case 7:
		return g.jsonAttack()
	}
	return attack{what: "words", bytes: fmt.Appendf(nil, "hello %s\n%s\n", g.who, g.pick("say", "join \x00", "call", "call echo: e {", "call echo: e [1,",
		`deposit 99999999999999999999`, "answer x", "hello again", "join chat:"+strings.Repeat("y", 3000), "call echo: \xff\xfe 1", strings.Repeat(" ", 60000))), half: true}
}

func (g *garbage) jsonAttack() attack {
	line := g.pick(`[`, `[3`, `{}`, `[3,1,"echo:","e",{]`, `[3,1,"echo:","e","`+"\x80"+`"]`, `[3,1,"echo:","e",1e999]`, `[3,-1,"echo:","e"]`,
		`[3,1,"echo:","e",`+strings.Repeat("[", 30000)+`]`, `[3,1,"echo:","e",[`+strings.Repeat("0,", 30000)+`0]]`, `[99]`, `["3"]`, `[1,{"v":1,"name":"again"}]`,
		`[3.5,1]`, `[null]`, `[2,{}]`, `[3,18446744073709551616,"echo:","e"]`, `[3,1,"echo:","\ud800"]x`, `[3,1,{"a":1},"e"]`)
	want := []string{"bad_frame"}
	if len(line) > protocol.MaxFrameHello { // too long as long as WELCOME is under way
		want = append(want, "frame_too_large")
	}
	return attack{what: "JSON " + line[:min(len(line), 30)], bytes: append(helloOf(1, g.who), line+"\n"...), want: want}
}

// play sends an attack and judges the answer. A node that does not answer an attack of which it must know within patience hurts.
func (a attack) play(addr string) error {
	p, err := connect(addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer p.Close()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		if _, err := p.Write(a.bytes); err == nil && a.half {
			_ = p.CloseWrite()
		}
	}()
	got, err := io.ReadAll(p.r)
	_ = p.Close()
	<-wrote
	var e net.Error
	if errors.As(err, &e) && e.Timeout() {
		return fmt.Errorf("%s: never closed, got %.200q", a.what, got)
	}
	if err == nil {
		if err := whole(got); err != nil {
			return fmt.Errorf("%s: %w", a.what, err)
		}
	}
	if err == nil && a.want != nil && !slices.ContainsFunc(a.want, func(w string) bool { return bytes.Contains(got, []byte(w)) }) {
		return fmt.Errorf("%s: got %.300q, want %s", a.what, got, a.want)
	}
	return nil
}

// whole says what is wrong with what a server sent up to its end.
func whole(got []byte) error {
	if len(got) == 0 {
		return nil
	}
	if got[0] != 0 {
		if got[len(got)-1] != '\n' {
			return fmt.Errorf("the last line is cut: %.200q", got)
		}
		return nil
	}
	p := &peer{r: bufio.NewReader(bytes.NewReader(got))}
	for {
		if _, err := p.frame(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestGarbage: garbage, truncated and oversize frames in all dialects, from a seeded generator. The node lives, does not grow,
// answers as it must, and an honest player notices nothing.
func TestGarbage(t *testing.T) {
	t.Parallel()
	n := start(t)
	length := 4 * time.Second
	if testing.Short() {
		length = 1500 * time.Millisecond
	}
	throw := func(length time.Duration, stream uint64) (count int64) {
		var thrown, failed atomic.Int64
		var wg sync.WaitGroup
		until := time.Now().Add(length)
		for i := range uint64(8) {
			g := &garbage{Rand: random(t, stream+i), who: fmt.Sprintf("thrower-%d", i)}
			wg.Go(func() {
				for time.Now().Before(until) && failed.Load() < 5 {
					if err := g.attack().play(n.Players); err != nil {
						failed.Add(1)
						t.Error(err)
					}
					thrown.Add(1)
				}
			})
		}
		wg.Wait()
		return thrown.Load()
	}
	throw(length/4, 0) // buffers and pools reach their size
	before := n.memory()
	w := hire(t, n, 3, "chat:calm")
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.talk(length, time.Second/30, 100, nil)
	}()
	count := throw(length, 10)
	<-done
	if after := n.memory(); after > before+flat {
		t.Errorf("from %d to %d MiB in %d attacks", before, after, count)
	} else {
		t.Logf("%d attacks, memory from %d to %d MiB", count, before, after)
	}
	if count < 200 {
		t.Errorf("only %d attacks", count)
	}
	n.calm(t)
}

// calm fails the test when a handler panicked, or the node does not serve.
func (n *node) calm(t *testing.T) {
	t.Helper()
	if dead := n.metric("gamed_actor_dead_letters_total"); dead > 0 {
		t.Errorf("%v dead letters", dead)
	}
	if err := visit(n, "after"); err != nil {
		t.Errorf("an honest login afterwards: %v", err)
	}
	if _, err := n.get("/readyz"); err != nil {
		t.Error(err)
	}
}
