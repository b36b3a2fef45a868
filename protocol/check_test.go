package protocol

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// nested is n arrays inside each other, the innermost empty.
func nested(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n-1), 0x90) }

// wide is an array of n−1 nils: n values.
func wide(n int) []byte {
	return append(AppendArray(nil, n-1), bytes.Repeat([]byte{0xc0}, n-1)...)
}

// wideMap is a map of pairs of nils.
func wideMap(pairs int) []byte {
	return append(AppendMap(nil, pairs), bytes.Repeat([]byte{0xc0}, 2*pairs)...)
}

func TestCheckLimits(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"one value", []byte{0xc0}, nil},
		{"two values", []byte{0xc0, 0xc0}, ErrTrailing},
		{"byte after a frame", []byte{0x91, 0x09, 0x00}, ErrTrailing},
		{"depth 16", nested(16), nil},
		{"depth 17", nested(17), ErrDepth},
		{"depth 17, the last a map", append(bytes.Repeat([]byte{0x91}, 16), 0x80), ErrDepth},
		{"depth 16, twice side by side", append([]byte{0x92}, append(nested(15), nested(15)...)...), nil},
		{"4096 values", wide(4096), nil},
		{"4097 values", wide(4097), ErrValues},
		{"4096 values by nesting", append([]byte{0x92}, append(wide(2047), wide(2048)...)...), nil},
		{"4097 values by nesting", append([]byte{0x92}, append(wide(2048), wide(2048)...)...), ErrValues},
		{"2047 pairs", wideMap(2047), nil},
		{"2048 pairs", wideMap(2048), ErrValues},
		{"never used", []byte{0xc1}, ErrCode},
		{"never used inside", []byte{0x91, 0xc1}, ErrCode},
		{"str cut", []byte{0xa3, 'a', 'b'}, ErrTruncated},
		{"str 8 cut", []byte{0xd9, 3, 'a', 'b'}, ErrTruncated},
		{"str 8 without length", []byte{0xd9}, ErrTruncated},
		{"str 16 without length", []byte{0xda, 0}, ErrTruncated},
		{"str 32 of 4 GiB", []byte{0xdb, 0xff, 0xff, 0xff, 0xff, 'a'}, ErrTruncated},
		{"bin 32 of 4 GiB", []byte{0xc6, 0xff, 0xff, 0xff, 0xff, 'a'}, ErrTruncated},
		{"array 32 of 4 G", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, ErrTruncated},
		{"map 32 of 4 G", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, ErrTruncated},
		{"map 32 of 2 G pairs", []byte{0xdf, 0x80, 0, 0, 1, 0, 0}, ErrTruncated},
		{"array of 2 with 1", []byte{0x92, 0xc0}, ErrTruncated},
		{"map of 1 with key only", []byte{0x81, 0xc0}, ErrTruncated},
		{"float cut", []byte{0xcb, 0, 0, 0, 0, 0, 0, 0}, ErrTruncated},
		{"int cut", []byte{0xd3, 0, 0, 0, 0, 0, 0, 0}, ErrTruncated},
		{"empty str 32", []byte{0xdb, 0, 0, 0, 0}, nil},
		{"empty array 32", []byte{0xdd, 0, 0, 0, 0}, nil},
		{"ext 8", []byte{0xc7, 1, 74, 'x'}, ErrExt},
		{"ext 16", []byte{0xc8, 0, 1, 74, 'x'}, ErrExt},
		{"ext 32", []byte{0xc9, 0, 0, 0, 1, 74, 'x'}, ErrExt},
		{"fixext 1", []byte{0xd4, 74, 'x'}, ErrExt},
		{"fixext 16", append([]byte{0xd8, 74}, make([]byte, 16)...), ErrExt},
		{"timestamp inside", []byte{0x91, 0xd6, 0xff, 0, 0, 0, 0}, ErrExt},
		{"tagged JSON", AppendTaggedJSON(nil, []byte("1")), ErrExt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := Check(tc.b); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("Check(% x…) = %v, want %v", tc.b[:min(len(tc.b), 16)], err, tc.want)
			}
			if _, ok := modelCheck(tc.b); ok != (tc.want == nil) {
				t.Fatalf("the model says %v", ok)
			}
		})
	}
}

func TestCheckFrame(t *testing.T) {
	for _, tc := range []struct {
		b    []byte
		want error
	}{
		{[]byte{0x91, 0x09}, nil},
		{[]byte{0x91, 0xcd, 1, 0}, nil}, // kind 256: of a later version
		{[]byte{0x91, 0xff}, nil},       // kind −1: an integer
		{[]byte{0xdc, 0, 1, 0xd0, 9}, nil},
		{[]byte{0x90}, ErrFrame},
		{[]byte{0x91, 0xa1, '9'}, ErrFrame},
		{[]byte{0x81, 0x09, 0x09}, ErrFrame},
		{[]byte{0x09}, ErrFrame},
		{[]byte{0xc0}, ErrFrame},
		{[]byte{0x91, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0}, ErrFrame},
		{[]byte{0x92, 0x09}, ErrTruncated},
	} {
		if err := CheckFrame(tc.b); err != tc.want {
			t.Errorf("CheckFrame(% x) = %v, want %v", tc.b, err, tc.want)
		}
	}
}

// bombs are frames that kill decoders that trust them.
func bombs() map[string][]byte {
	million := bytes.Repeat([]byte{0x91}, 1<<20)
	return map[string][]byte{
		"five bytes":               {0xdd, 0xff, 0xff, 0xff, 0xff},
		"five bytes in a call":     {0x95, 3, 1, 0xa0, 0xa0, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"map 32":                   {0xdf, 0xff, 0xff, 0xff, 0xff},
		"map 32, a little there":   append([]byte{0xdf, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 60_000)...),
		"65 KB of arrays":          bytes.Repeat([]byte{0x91}, 65_000),
		"65 KB of maps":            bytes.Repeat([]byte{0x81}, 65_000),
		"a million deep":           million,
		"a million empty arrays":   append([]byte{0xdd, 0, 0x10, 0, 0}, bytes.Repeat([]byte{0x90}, 1<<20)...),
		"20,000 nils":              wide(20_000),
		"huge str":                 {0xdb, 0xff, 0xff, 0xff, 0xff},
		"huge bin":                 {0xc6, 0xff, 0xff, 0xff, 0xff},
		"huge ext":                 {0xc9, 0xff, 0xff, 0xff, 0xff, 74},
		"ext in a call":            {0x95, 3, 1, 0xa0, 0xa0, 0xd4, 74, '1'},
		"arrays that nest by hand": bytes.Repeat([]byte{0xdd, 0, 0, 0, 1}, 10_000),
	}
}

func TestBombsAreRefusedQuicklyWithoutMemory(t *testing.T) {
	for name, b := range bombs() {
		t.Run(name, func(t *testing.T) {
			var err error
			noAllocs(t, "Check", func() { err = Check(b) })
			if err == nil {
				t.Fatal("accepted")
			}
			best := time.Hour
			for range 20 {
				start := time.Now()
				_ = Check(b)
				best = min(best, time.Since(start))
			}
			if best > 200*time.Microsecond {
				t.Errorf("refused after %v", best)
			}
			// Unchecked bytes must not hurt the readers either.
			noAllocs(t, "Skip", func() { c := NewCursor(b); c.Skip() })
			noAllocs(t, "ParseCall", func() { ParseCall(b) })
		})
	}
}

func TestCheckAcceptsWhatIsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := encode(nil, genValue(t, 0, false))
		_, want := modelCheck(b)
		if err := Check(b); (err == nil) != want {
			t.Fatalf("Check = %v, the model says %v: % x", err, want, b)
		}
		if cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); Check(b[:cut]) == nil {
			t.Fatalf("accepted %d bytes of % x", cut, b)
		}
	})
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	frame := benchCall()
	body := frame[LengthSize:]
	dst := make([]byte, 0, 1024)
	noAllocs(t, "CheckFrame", func() {
		if CheckFrame(body) != nil {
			t.Fatal("refused")
		}
	})
	noAllocs(t, "ParseCall", func() {
		if _, ok := ParseCall(body); !ok {
			t.Fatal("refused")
		}
	})
	call, _ := ParseCall(body)
	noAllocs(t, "AppendCall", func() { AppendCall(dst, call.Ref, call.Topic, call.Event, call.Payload) })
	noAllocs(t, "AppendReply", func() { AppendReply(dst, call.Ref, call.Payload) })
	noAllocs(t, "AppendReplyError", func() { AppendReplyError(dst, call.Ref, CodeBusy, "later", 100) })
	noAllocs(t, "AppendPush", func() { AppendPush(dst, "trivia:friday", 7, call.Event, call.Payload) })
	reply := AppendReply(nil, 1, call.Payload)[LengthSize:]
	noAllocs(t, "ParseReply", func() { ParseReply(reply) })
	failed := AppendReplyError(nil, 1, CodeUnavailable, "", -1)[LengthSize:]
	noAllocs(t, "ParseReply of a code", func() { ParseReply(failed) })
	push := AppendPush(nil, "trivia:friday", 7, "question", call.Payload)[LengthSize:]
	noAllocs(t, "ParsePush", func() { ParsePush(push) })
	noAllocs(t, "FrameToJSON", func() { FrameToJSON(dst, push) })
	line := []byte(`[3,7,"trivia:friday","answer",{"q":3,"choice":1,"t":1.5}]`)
	noAllocs(t, "FrameFromJSON", func() { FrameFromJSON(dst, line) })
	noAllocs(t, "names", func() { ValidTopic(call.Topic); ValidPlayer(call.Event); SplitTopic(call.Topic) })
	if slices.Contains(call.Payload, 0xc1) {
		t.Fatal("not the frame that was meant")
	}
}
