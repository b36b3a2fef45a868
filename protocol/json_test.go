package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestJSONToMsgpack(t *testing.T) {
	for _, tc := range []struct {
		json string
		want []byte
		err  error
	}{
		{`null`, []byte{0xc0}, nil},
		{` true `, []byte{0xc3}, nil},
		{`false`, []byte{0xc2}, nil},
		{`0`, []byte{0}, nil},
		{`-0`, []byte{0}, nil},
		{`-1`, []byte{0xff}, nil},
		{`255`, []byte{0xcc, 0xff}, nil},
		{`9223372036854775808`, AppendUint(nil, 1<<63), nil},
		{`18446744073709551615`, AppendUint(nil, math.MaxUint64), nil},
		{`18446744073709551616`, nil, ErrNumber},
		{`99999999999999999999999999`, nil, ErrNumber},
		{`-9223372036854775808`, AppendInt(nil, math.MinInt64), nil},
		{`-9223372036854775809`, nil, ErrNumber},
		{`1.0`, AppendFloat(nil, 1), nil},
		{`1e2`, AppendFloat(nil, 100), nil},
		{`-0.0`, AppendFloat(nil, math.Copysign(0, -1)), nil},
		{`1E+2`, AppendFloat(nil, 100), nil},
		{`1.5e-3`, AppendFloat(nil, 0.0015), nil},
		{`1e400`, nil, ErrNumber},
		{`1e-400`, AppendFloat(nil, 0), nil},
		{`01`, nil, ErrJSON},
		{`1.`, nil, ErrJSON},
		{`.5`, nil, ErrJSON},
		{`+1`, nil, ErrJSON},
		{`-`, nil, ErrJSON},
		{`1e`, nil, ErrJSON},
		{`1e+`, nil, ErrJSON},
		{`0x10`, nil, ErrTrailing},
		{`NaN`, nil, ErrJSON},
		{`nul`, nil, ErrJSON},
		{`truex`, nil, ErrTrailing},
		{`""`, []byte{0xa0}, nil},
		{`"a\"\\\/\b\f\n\r\t"`, AppendStr(nil, "a\"\\/\b\f\n\r\t"), nil},
		{`"\u00e9\u20AC"`, AppendStr(nil, "é€"), nil},
		{`"\ud83d\ude00"`, AppendStr(nil, "😀"), nil},
		{`"\ud83d"`, AppendStr(nil, "\ufffd"), nil},
		{`"\ud83d\u0041"`, AppendStr(nil, "\ufffdA"), nil},
		{`"\ude00\ud83d"`, AppendStr(nil, "\ufffd\ufffd"), nil},
		{`"\ud83d\ud83d\ude00"`, AppendStr(nil, "\ufffd😀"), nil},
		{`"\u0000"`, AppendStr(nil, "\x00"), nil},
		{`"` + strings.Repeat(`\n`, 40) + `"`, AppendStr(nil, strings.Repeat("\n", 40)), nil},
		{`"` + strings.Repeat(`\n`, 300) + `"`, AppendStr(nil, strings.Repeat("\n", 300)), nil},
		{`"\x"`, nil, ErrJSON},
		{`"\u12g4"`, nil, ErrJSON},
		{`"\u12`, nil, ErrJSON},
		{`"\`, nil, ErrTruncated},
		{`"abc`, nil, ErrTruncated},
		{"\"a\tb\"", nil, ErrJSON},
		{"\"a\nb\"", nil, ErrJSON},
		{"\"\xff\"", nil, ErrUTF8},
		{"\"\xed\xa0\x80\"", nil, ErrUTF8},
		{`"` + "\ufffd" + `"`, AppendStr(nil, "\ufffd"), nil},
		{`[]`, []byte{0x90}, nil},
		{`{}`, []byte{0x80}, nil},
		{` [ 1 , 2 ] `, []byte{0x92, 1, 2}, nil},
		{`{"a":[{"b":{}}],"a":1}`, append([]byte{0x82, 0xa1, 'a', 0x91, 0x81, 0xa1, 'b', 0x80}, 0xa1, 'a', 1), nil},
		{`[1,]`, nil, ErrJSON},
		{`[,1]`, nil, ErrJSON},
		{`[1 2]`, nil, ErrJSON},
		{`[1}`, nil, ErrJSON},
		{`[}`, nil, ErrJSON},
		{`{]`, nil, ErrJSON},
		{`{"a":1]`, nil, ErrJSON},
		{`{"a"}`, nil, ErrJSON},
		{`{"a",1}`, nil, ErrJSON},
		{`{1:2}`, nil, ErrJSON},
		{`{"a":1,}`, nil, ErrJSON},
		{`{"a":}`, nil, ErrJSON},
		{`{"a"`, nil, ErrTruncated},
		{`[`, nil, ErrTruncated},
		{`[1,`, nil, ErrTruncated},
		{``, nil, ErrTruncated},
		{`  `, nil, ErrTruncated},
		{`1 2`, nil, ErrTrailing},
		{`[] []`, nil, ErrTrailing},
		{`]`, nil, ErrJSON},
		{strings.Repeat("[", 16) + strings.Repeat("]", 16), nested(16), nil},
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), nil, ErrDepth},
		{strings.Repeat("[", 1<<20), nil, ErrDepth},
		{strings.Repeat(`{"a":`, 16) + "1", nil, ErrTruncated},
		{strings.Repeat(`{"a":`, 17), nil, ErrDepth},
		{"[" + strings.Repeat("null,", 4094) + "null]", wide(4096), nil},
		{"[" + strings.Repeat("null,", 4095) + "null]", nil, ErrValues},
		{"{" + strings.Repeat(`"":0,`, 2047) + `"":0}`, nil, ErrValues},
	} {
		name := tc.json[:min(len(tc.json), 40)]
		prefix := []byte("before")
		got, err := AppendFromJSON(prefix, []byte(tc.json))
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
			continue
		}
		if !bytes.HasPrefix(got, prefix) || !bytes.Equal(got[len(prefix):], tc.want) {
			t.Errorf("%s: % .40x, want % .40x", name, got, tc.want)
		}
		if checked := CheckJSON([]byte(tc.json)); checked != err {
			t.Errorf("%s: CheckJSON says %v, the conversion %v", name, checked, err)
		}
		if err == nil && Check(got[len(prefix):]) != nil {
			t.Errorf("%s: becomes msgpack that Check refuses", name)
		}
	}
}

func TestMsgpackToJSON(t *testing.T) {
	key := func(b ...byte) []byte { return append(append([]byte{0x81}, b...), 1) }
	for _, tc := range []struct {
		b    []byte
		want string
		err  error
	}{
		{AppendUint(nil, math.MaxUint64), `18446744073709551615`, nil},
		{AppendInt(nil, math.MinInt64), `-9223372036854775808`, nil},
		{[]byte{0xd0, 5}, `5`, nil},
		{AppendFloat(nil, 1), `1.0`, nil},
		{AppendFloat(nil, math.Copysign(0, -1)), `-0.0`, nil},
		{AppendFloat(nil, 0.1), `0.1`, nil},
		{AppendFloat(nil, 1e21), `1e+21`, nil},
		{AppendFloat(nil, 1e20), `100000000000000000000.0`, nil},
		{AppendFloat(nil, 5e-324), `5e-324`, nil},
		{[]byte{0xca, 0x3f, 0xc0, 0, 0}, `1.5`, nil},
		{AppendFloat(nil, math.NaN()), `null`, nil},
		{AppendFloat(nil, math.Inf(-1)), `null`, nil},
		{AppendStr(nil, "<a href='x'>&\u2028</a>"), "\"<a href='x'>&\u2028</a>\"", nil},
		{AppendStr(nil, "\"\\\b\f\n\r\t\x00\x1f\x7f/"), `"\"\\\b\f\n\r\t\u0000\u001f` + "\x7f" + `/"`, nil},
		{AppendStr(nil, "a\xffb\xc3"), "\"a\ufffdb\ufffd\"", nil},
		{AppendStr(nil, "é€😀\ufffd"), "\"é€😀\ufffd\"", nil},
		{AppendBin(nil, []byte{0xfb, 0xff}), `"+/8="`, nil},
		{AppendBin(nil, nil), `""`, nil},
		{key(0xa1, 'k'), `{"k":1}`, nil},
		{key(7), `{"7":1}`, nil},
		{key(0xff), `{"-1":1}`, nil},
		{key(0xc3), `{"true":1}`, nil},
		{key(0xc0), `{"null":1}`, nil},
		{key(AppendFloat(nil, 1.5)...), `{"1.5":1}`, nil},
		{key(0xc4, 1, 0xff), `{"/w==":1}`, nil},
		{key(0x90), ``, ErrKey},
		{key(0x80), ``, ErrKey},
		{key(AppendTaggedJSON(nil, []byte("1"))...), ``, ErrKey},
		{[]byte{0x92, 0x90, 0x82, 1, 0x80, 2, 0x91, 0x80}, `[[],{"1":{},"2":[{}]}]`, nil},
		{AppendTaggedJSON(nil, []byte(`{"a": 1}`)), `{"a": 1}`, nil},
		{append([]byte{0x91}, AppendTaggedJSON(nil, []byte(`"x"`))...), `["x"]`, nil},
		{[]byte{0xd6, 0xff, 0, 0, 0, 0}, ``, ErrExt},
		{[]byte{0xc7, 1, 5, 0}, ``, ErrExt},
		{[]byte{0xc7, 9, 74, 0}, ``, ErrTruncated},
		{[]byte{0xc1}, ``, ErrCode},
		{nil, ``, ErrTruncated},
		{[]byte{0x92, 1}, ``, ErrTruncated},
		{[]byte{0xa3, 'x'}, ``, ErrTruncated},
		{[]byte{1, 2}, ``, ErrTrailing},
		{nested(16), strings.Repeat("[", 16) + strings.Repeat("]", 16), nil},
		{nested(17), ``, ErrDepth},
		{bytes.Repeat([]byte{0x91}, 1<<20), ``, ErrDepth},
	} {
		got, err := AppendJSON([]byte("before"), tc.b)
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || string(got) != "before"+tc.want {
			t.Errorf("% .20x: %s, %v; want %s, %v", tc.b, got, err, tc.want, tc.err)
		}
	}
}

func TestValuesSurviveBothDialects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := encode(nil, genValue(t, 0, true))
		if Check(b) != nil {
			t.Skip("beyond the limits")
		}
		text, err := AppendJSON(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		back, err := AppendFromJSON(nil, text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if !bytes.Equal(back, b) {
			t.Fatalf("% x\nbecame %s\nbecame % x", b, text, back)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		if back, err = AppendFromJSON(nil, indented.Bytes()); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("with white space: %v", err)
		}
	})
}

func TestAnyMsgpackBecomesJSONOrAnError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := encode(nil, genValue(t, 0, false))
		text, err := AppendJSON(nil, b)
		if err == nil && !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		if err != nil && !errors.Is(err, ErrKey) && !errors.Is(err, ErrDepth) {
			t.Fatal(err)
		}
	})
}

func TestFrameFromJSON(t *testing.T) {
	for _, tc := range []struct {
		line    string
		payload string // of a CALL: the tagged text
		err     error
	}{
		{`[3,1,"echo:","x",{"a": 1,"b":"\u0041"}]`, `{"a": 1,"b":"\u0041"}`, nil},
		{"[3,1,\"echo:\",\"x\",\t[1, 2] ]\r\n", `[1, 2]`, nil},
		{` [ 3 , 1 , "echo:" , "x" , "p" , "later field" , {"more":[]} ] `, `"p"`, nil},
		{"[3,1,\"echo:\",\"x\",[1,\n2]]", ``, ErrJSON},
		{`[3,1,"echo:","x",1.5e3]`, `1.5e3`, nil},
		{`[3,1,"echo:","x",18446744073709551616]`, ``, ErrNumber},
		{`[3,1,"echo:","x",1e400]`, ``, ErrNumber},
		{"[3,1,\"echo:\",\"x\",\"\xff\"]", ``, ErrUTF8},
		{`[3,1,"echo:","x",{]`, ``, ErrJSON},
		{`[3,1,"echo:","x",{}`, ``, ErrTruncated},
		{`[3,1,"echo:","x",{}] 1`, ``, ErrTrailing},
		{`[3,1,"echo:","x",` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `]`, strings.Repeat("[", 15) + strings.Repeat("]", 15), nil},
		{`[3,1,"echo:","x",` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `]`, ``, ErrDepth},
		{`[3,1,"echo:","x",[` + strings.Repeat("0,", 4089) + `0]]`, `[` + strings.Repeat("0,", 4089) + `0]`, nil},
		{`[3,1,"echo:","x",[` + strings.Repeat("0,", 4090) + `0]]`, ``, ErrValues},
		{`[3,1,"echo:","x",0,[` + strings.Repeat("0,", 4090) + `0]]`, ``, ErrValues},
		{`{"k":3}`, ``, ErrFrame},
		{`[]`, ``, ErrFrame},
		{`["3"]`, ``, ErrFrame},
		{`[3.0,1,"echo:","x"]`, ``, ErrFrame},
		{`[[3]]`, ``, ErrFrame},
		{`3`, ``, ErrFrame},
		{``, ``, ErrTruncated},
		{`[9] x`, ``, ErrTrailing},
		{`[6,{"a":18446744073709551616}]`, ``, ErrNumber},
	} {
		name := tc.line[:min(len(tc.line), 60)]
		got, err := FrameFromJSON([]byte("before"), []byte(tc.line))
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
			continue
		}
		got, cut := bytes.CutPrefix(got, []byte("before"))
		if err != nil {
			if !cut || len(got) != 0 {
				t.Errorf("%s: dst changed to %q", name, got)
			}
			continue
		}
		call, ok := ParseCall(got[LengthSize:])
		text, tagged := TaggedJSON(call.Payload)
		if !ok || !tagged || string(text) != tc.payload || call.Ref != 1 || string(call.Topic) != "echo:" || string(call.Event) != "x" {
			t.Errorf("%s: %+v %q", name, call, text)
		}
		if !FrameTagged(got[LengthSize:]) {
			t.Errorf("%s: not seen as tagged", name)
		}
		// echo: the same bytes come back.
		reply := AppendReply(nil, call.Ref, call.Payload)
		line, err := FrameToJSON(nil, reply[LengthSize:])
		if err != nil || string(line) != `[4,1,"ok",`+tc.payload+"]\n" {
			t.Errorf("%s: echoed as %s, %v", name, line, err)
		}
		// A client of the binary dialect gets the value.
		plain, err := NormalizeFrame(nil, reply[LengthSize:])
		if err != nil || CheckFrame(plain[LengthSize:]) != nil || FrameTagged(plain[LengthSize:]) {
			t.Errorf("%s: % x, %v", name, plain, err)
		}
		want, _ := AppendFromJSON(nil, []byte(tc.payload))
		if r, ok := ParseReply(plain[LengthSize:]); !ok || !bytes.Equal(r.Payload, want) {
			t.Errorf("%s: normalized to % x", name, r.Payload)
		}
	}
}

func TestFrameFromJSONWithoutPayload(t *testing.T) {
	frame, err := FrameFromJSON(nil, []byte(`[3,1,"echo:","x"]`))
	if err != nil {
		t.Fatal(err)
	}
	if call, ok := ParseCall(frame[LengthSize:]); !ok || !bytes.Equal(call.Payload, []byte{0xc0}) {
		t.Fatalf("%+v, %v", call, ok)
	}
	for _, line := range []string{`[3]`, `[3,1]`, `[3,1,"echo:"]`, `[3,"1","echo:","x",0]`, `[3,-1,"echo:","x",0]`, `[3,1.0,"echo:","x",0]`,
		`[3,1,null,"x",0]`, `[3,1,"echo:",[],0]`, `[3,[1],"echo:","x",0]`} {
		frame, err := FrameFromJSON(nil, []byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if call, ok := ParseCall(frame[LengthSize:]); ok {
			t.Errorf("%s is read as %+v", line, call)
		}
	}
}

func TestFramesWithoutAJSONForm(t *testing.T) {
	bad := []byte{0x81, 0x90, 1} // {[]: 1}
	line, err := FrameToJSON(nil, AppendReply(nil, 7, bad)[LengthSize:])
	if want := `[4,7,"internal",{"message":"the answer has no JSON form"}]` + "\n"; err != nil || string(line) != want {
		t.Errorf("REPLY: %s, %v", line, err)
	}
	line, err = FrameToJSON(nil, AppendPush(nil, "g:x", 5, "e", bad)[LengthSize:])
	if want := `[5,"g:x",5,"e",null]` + "\n"; err != nil || string(line) != want {
		t.Errorf("PUSH: %s, %v", line, err)
	}
	if line, err = FrameToJSON([]byte("before"), AppendPing(nil, bad)[LengthSize:]); !errors.Is(err, ErrKey) || string(line) != "before" {
		t.Errorf("PING: %s, %v", line, err)
	}
}

func TestTaggedJSON(t *testing.T) {
	for _, n := range []int{1, 255, 256, 65535, 65536} {
		text := []byte(`"` + strings.Repeat("x", n) + `"`)
		text = text[:max(n, 1)]
		b := AppendTaggedJSON(nil, text)
		if got, ok := TaggedJSON(b); !ok || !bytes.Equal(got, text) {
			t.Errorf("%d bytes do not come back", n)
		}
		if _, ok := TaggedJSON(b[:len(b)-1]); ok {
			t.Errorf("%d bytes, cut: still tagged", n)
		}
		if _, ok := TaggedJSON(append(b, 0)); ok {
			t.Errorf("%d bytes and one more: still tagged", n)
		}
		c := NewCursor(b)
		if raw, ok := c.Raw(); !ok || !bytes.Equal(raw, b) {
			t.Errorf("%d bytes: Raw does not give it", n)
		}
	}
	for _, b := range [][]byte{nil, {0xc7}, {0xc7, 0}, {0xc7, 0, 73}, {0xd4, 74, '1'}, {0xa1, 'x'}, {0xc9, 0, 0}} {
		if _, ok := TaggedJSON(b); ok {
			t.Errorf("% x is taken for tagged JSON", b)
		}
		if got, err := Normalize(b); err != nil || !bytes.Equal(got, b) {
			t.Errorf("Normalize(% x) = % x, %v", b, got, err)
		}
	}
	if b, err := Normalize(AppendTaggedJSON(nil, []byte(`{"a":[1,2]}`))); err != nil || !bytes.Equal(b, []byte{0x81, 0xa1, 'a', 0x92, 1, 2}) {
		t.Errorf("% x, %v", b, err)
	}
	if _, err := Normalize(AppendTaggedJSON(nil, []byte(`{`))); err == nil {
		t.Error("broken text is converted")
	}
	frame := AppendReply(nil, 1, AppendTaggedJSON(nil, []byte(`{`)))
	if out, err := NormalizeFrame([]byte("before"), frame[LengthSize:]); err == nil || string(out) != "before" {
		t.Error("a frame with broken text is converted")
	}
	for _, g := range goldens() {
		body := g.frame[LengthSize:]
		if out, err := NormalizeFrame(nil, body); err != nil || !bytes.Equal(out, g.frame) || FrameTagged(body) {
			t.Errorf("%s: a plain frame is changed", g.name)
		}
	}
}

// TestFloatsReadBack compares with strconv over edges that drawing seldom hits.
func TestFloatsReadBack(t *testing.T) {
	for _, v := range []float64{0, 1e-6, 9.999e-7, 1e20, 1e21, 123456789.5, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, -1e300} {
		text, err := AppendJSON(nil, AppendFloat(nil, v))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := strconv.ParseFloat(string(text), 64); err != nil || got != v {
			t.Errorf("%v is written %s", v, text)
		}
		if back, err := AppendFromJSON(nil, text); err != nil || !bytes.Equal(back, AppendFloat(nil, v)) {
			t.Errorf("%s does not come back as a float", text)
		}
	}
}
