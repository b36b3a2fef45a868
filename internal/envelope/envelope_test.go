package envelope

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawn makes envelopes of every shape; each field is absent in half of them.
func drawn() *rapid.Generator[Envelope] {
	return rapid.Custom(func(t *rapid.T) Envelope {
		some := func(name string) bool { return rapid.Bool().Draw(t, "has "+name) }
		text := func(name string) string {
			if !some(name) {
				return ""
			}
			return rapid.String().Draw(t, name)
		}
		number := func(name string, limit uint64) uint64 {
			if !some(name) {
				return 0
			}
			return rapid.Uint64Range(0, limit).Draw(t, name)
		}
		e := Envelope{
			Kind: Kind(rapid.IntRange(1, int(sentinel)-1).Draw(t, "kind")),
			Part: uint16(number("part", 1<<16-1)), Term: number("term", 1<<64-1), Conn: number("conn", 1<<64-1),
			Key: text("key"), Flags: uint16(number("flags", 1<<16-1)), Hops: uint8(number("hops", 255)), Ref: number("ref", 1<<64-1),
			TTL: time.Duration(number("ttl", 1<<40)) * time.Millisecond, Offset: number("offset", 1<<64-1),
			Topic: text("topic"), Event: text("event"), From: text("from"), FromTopic: text("fromTopic"), Role: text("role"),
			Node: NodeID{text("node"), number("boot", 1<<64-1)}, Session: text("session"),
		}
		if some("payload") {
			e.Payload = rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		}
		return e
	})
}

// same compares what travels: an empty payload is no payload.
func same(a, b Envelope) bool {
	if len(a.Payload) == 0 && len(b.Payload) == 0 {
		a.Payload, b.Payload = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestWhatIsAppendedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawn().Draw(t, "envelope")
		before := []byte("before")
		b := e.Append(before)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("append did not append")
		}
		got := Envelope{Session: "of the last message", Hops: 3, Node: NodeID{"x", 1}} // reused
		if err := got.Decode(b[len("before"):]); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if !same(got, e) {
			t.Fatalf("got  %+v\nwant %+v", got, e)
		}
	})
}

func TestEveryCutIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawn().Draw(t, "envelope")
		b := e.Append(nil)
		var got Envelope
		if err := got.Decode(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut envelope was decoded")
		}
		if err := got.Decode(append(b, 0xc0)); !errors.Is(err, protocol.ErrTrailing) {
			t.Fatalf("bytes after the envelope: %v", err)
		}
	})
}

// A client chooses its events' names: whatever a gateway sends must not look damaged to the owner, which would end the link.
func TestLongTextsAreNoDamage(t *testing.T) {
	long := strings.Repeat("x", protocol.MaxFrameIn)
	e := Envelope{Kind: Call, Key: "chat/lobby", Topic: long, Event: long, From: long, FromTopic: long, Role: long, Session: long, Node: NodeID{long, 1}}
	var got Envelope
	if err := got.Decode(e.Append(nil)); err != nil || !same(got, e) {
		t.Fatalf("refused: %v", err)
	}
}

func TestTTLIsRoundedUpAndNeverForgotten(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond,
		1<<63 - 1: maxTTL * time.Millisecond,
	} {
		e := Envelope{Kind: Call, TTL: ttl}
		var got Envelope
		if err := got.Decode(e.Append(nil)); err != nil || got.TTL != want {
			t.Errorf("TTL %v arrives as %v (%v), want %v", ttl, got.TTL, err, want)
		}
	}
}

func TestFieldsOfLaterVersionsAreIgnored(t *testing.T) {
	e := Envelope{Kind: Call, Key: "player/ann", Session: "s"}
	b := e.Append(nil)
	grown := protocol.AppendArray(nil, fields+2)
	grown = append(grown, b[3:]...) // the array's head of 19 takes 3 bytes
	grown = protocol.AppendStr(grown, "new")
	grown = protocol.AppendMap(grown, 0)
	var got Envelope
	if err := got.Decode(grown); err != nil || !same(got, e) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestWhatIsNoEnvelopeIsRefused(t *testing.T) {
	base := func(kind, part any) []byte {
		b := protocol.AppendArray(nil, 6)
		for _, v := range []any{kind, part} {
			switch v := v.(type) {
			case int:
				b = protocol.AppendInt(b, int64(v))
			case string:
				b = protocol.AppendStr(b, v)
			}
		}
		b = protocol.AppendUint(protocol.AppendUint(b, 0), 0)
		return protocol.AppendBin(protocol.AppendStr(b, ""), nil)
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"kind 0":           {base(0, 0), ErrKind},
		"kind too large":   {base(int(sentinel), 0), ErrKind},
		"kind 256":         {base(256, 0), ErrFormat},
		"negative kind":    {base(-1, 0), ErrFormat},
		"text for a kind":  {base("x", 0), ErrFormat},
		"part too large":   {base(1, 1<<16), ErrFormat},
		"an empty array":   {protocol.AppendArray(nil, 0), ErrFormat},
		"five elements":    {append(protocol.AppendArray(nil, 5), 1, 0, 0, 0, 0xa0), ErrFormat},
		"a map":            {protocol.AppendMap(nil, 0), ErrFormat},
		"nothing":          {nil, protocol.ErrTruncated},
		"a bomb":           {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, nil},
		"deep":             {bytes.Repeat([]byte{0x91}, 65<<10), protocol.ErrDepth},
		"over the maximum": {make([]byte, MaxSize+1), ErrFormat},
	} {
		var e Envelope
		err := e.Decode(tt.b)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	var ok Envelope
	if err := ok.Decode(base(1, 1<<16-1)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]Kind{}
	for k := Kind(1); k < sentinel; k++ {
		name := k.String()
		if old, twice := seen[name]; name == "" || strings.HasPrefix(name, "kind(") || twice {
			t.Errorf("kind %d is called %q, as %d", k, name, old)
		}
		seen[name] = k
		if k.ToEntity() != (k <= Acked) {
			t.Errorf("%v: to an entity is %v", k, k.ToEntity())
		}
	}
	if Kind(0).ToEntity() || Kind(0).String() != "kind(0)" || sentinel.String() == "" {
		t.Error("kind 0 or one past the last is taken for a kind")
	}
}

func FuzzDecode(f *testing.F) {
	e := Envelope{Kind: Frames, Part: 1020, Term: 7, Conn: 99, Key: "player/ann", Payload: []byte{1, 2, 3}}
	f.Add(e.Append(nil))
	e = Envelope{Kind: Call, Key: "chat/lobby", Session: "s", Node: NodeID{"a", 1 << 60}, TTL: time.Second, Flags: 1, Hops: 2}
	f.Add(e.Append(nil))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again Envelope
		if e.Decode(b) != nil {
			return
		}
		wire := e.Append(nil)
		if err := again.Decode(wire); err != nil || !same(e, again) {
			t.Fatalf("%x was decoded to %+v, written as %x, and read as %+v (%v)", b, e, wire, again, err)
		}
	})
}

var hot = Envelope{Kind: Frames, Part: 512, Term: 12, Conn: 1 << 40, Key: "player/somebody", Payload: make([]byte, 64)}

func TestFramesDoNotAllocate(t *testing.T) {
	var dst []byte
	var e Envelope
	round := func() {
		dst = hot.Append(dst[:0])
		if err := e.Decode(dst); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = hot.Append(dst[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	wire := hot.Append(nil)
	var e Envelope
	for b.Loop() {
		if err := e.Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}
