package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func addSeeds(f *testing.F) {
	for _, g := range goldens() {
		f.Add(g.frame[LengthSize:])
	}
	for _, b := range bombs() {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Add(AppendTaggedJSON(nil, []byte(`{"a":1}`)))
	f.Add(nested(16))
	f.Add(nested(17))
}

// FuzzCheck: Check and Cursor agree with the model, and nothing that reads panics.
func FuzzCheck(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		want, ok := modelCheck(b)
		err := Check(b)
		if (err == nil) != ok {
			t.Fatalf("Check says %v, the model %v", err, ok)
		}
		c := NewCursor(b)
		skipped := c.Skip()
		if ok {
			var got strings.Builder
			c := NewCursor(b)
			if !cursorTree(&c, &got) || got.String() != want || len(c.Rest()) != 0 || !skipped {
				t.Fatalf("cursor: %s\nmodel:  %s", got.String(), want)
			}
		}
		text, jsonErr := AppendJSON(nil, b)
		if jsonErr == nil && ok && !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		if ok && jsonErr != nil && !errors.Is(jsonErr, ErrKey) {
			t.Fatalf("no JSON: %v", jsonErr)
		}
	})
}

// FuzzParse: a frame that is read writes the same again, and unchecked bytes never panic.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checked := CheckFrame(b) == nil
		for kind, parse := range parsers {
			v, ok := parse(b)
			if !ok {
				continue
			}
			if got, _ := FrameKind(b); got != kind {
				t.Fatalf("a %s read as %s", got, kind)
			}
			var again []byte
			switch v := v.(type) {
			case Hello:
				again = AppendHello(nil, v)
			case Welcome:
				again = AppendWelcome(nil, v)
			case Call:
				again = AppendCall(nil, v.Ref, v.Topic, v.Event, v.Payload)
			case Reply:
				again = AppendReplyError(nil, v.Ref, v.Status, "", -1)
				v.Payload = AppendFailure(nil, "", -1)
				if r, ok := ParseReply(again[LengthSize:]); !ok || !reflect.DeepEqual(r, v) {
					t.Fatalf("%+v, then %+v", v, r)
				}
				continue
			case Push:
				again = AppendPush(nil, v.Topic, v.Offset, v.Event, v.Payload)
			case Goaway:
				again = AppendGoaway(nil, v)
			default:
				continue
			}
			back, ok := parse(again[LengthSize:])
			if !ok || !reflect.DeepEqual(normalEmpty(back), normalEmpty(v)) {
				t.Fatalf("%+v, then %+v (%v)", v, back, ok)
			}
		}
		ParseFailure(b)
		ParseSeen(b)
		FrameTagged(b)
		if out, err := NormalizeFrame(nil, b); err == nil && !bytes.Equal(out, framed(out[LengthSize:])) {
			t.Fatal("wrong length")
		}
		if line, err := FrameToJSON(nil, b); err == nil && checked && (!json.Valid(line) || bytes.Count(line, []byte("\n")) != 1) {
			t.Fatalf("not one line: %q", line)
		}
	})
}

// normalEmpty makes empty slices nil, which frames cannot tell apart.
func normalEmpty(v any) any {
	switch v := v.(type) {
	case Hello:
		if len(v.Seen) == 0 {
			v.Seen = nil
		}
		return v
	case Welcome:
		if len(v.Missed) == 0 {
			v.Missed = nil
		}
		return v
	case Goaway:
		if len(v.Addrs) == 0 {
			v.Addrs = nil
		}
		return v
	}
	return v
}

// FuzzJSON: what is taken for JSON is exactly what encoding/json takes, within the limits, and means the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`[3,7,"bank:","deposit",{"amount":5}]`, `{"a":[1,2.5e3,-0,null,true,false,"\ud83d\ude00\n"]}`, `[9] `, `"\ud800\u0041"`,
		`[1e400,18446744073709551616]`, "\"\xff\"", strings.Repeat("[", 17), `{"a":1,"a":{"b":2}}`, `[-9223372036854775808,18446744073709551615]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := AppendFromJSON(nil, text)
		if checked := CheckJSON(text); checked != err {
			t.Fatalf("CheckJSON %v, conversion %v", checked, err)
		}
		valid := json.Valid(text)
		if err == nil {
			if !valid || !utf8.Valid(text) {
				t.Fatal("accepted what is not JSON")
			}
			if err := Check(b); err != nil {
				t.Fatalf("becomes msgpack that is refused: %v", err)
			}
			again, err := AppendJSON(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := canonical(t, again), canonical(t, text); got != want {
				t.Fatalf("%s\nwant %s", got, want)
			}
		} else if valid && err != ErrDepth && err != ErrValues && err != ErrUTF8 && err != ErrNumber {
			t.Fatalf("refused: %v", err)
		}

		frame, err := FrameFromJSON(nil, text)
		if err != nil {
			return
		}
		if !valid {
			t.Fatal("a frame from what is not JSON")
		}
		plain, err := NormalizeFrame(nil, frame[LengthSize:])
		if err != nil {
			t.Fatalf("a checked payload does not convert: %v", err)
		}
		if err := CheckFrame(plain[LengthSize:]); err != nil {
			t.Fatalf("the frame is refused: %v", err)
		}
		line, err := FrameToJSON(nil, frame[LengthSize:])
		if err != nil || !json.Valid(line) {
			t.Fatalf("%q, %v", line, err)
		}
	})
}
