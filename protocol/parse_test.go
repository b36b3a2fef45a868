package protocol

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// parsers are all Parse functions of frames by kind; the values are for comparing.
var parsers = map[Kind]func(body []byte) (any, bool){
	KindHello:   func(b []byte) (any, bool) { v, ok := ParseHello(b); return v, ok },
	KindWelcome: func(b []byte) (any, bool) { v, ok := ParseWelcome(b); return v, ok },
	KindCall:    func(b []byte) (any, bool) { v, ok := ParseCall(b); return v, ok },
	KindReply:   func(b []byte) (any, bool) { v, ok := ParseReply(b); return v, ok },
	KindPush:    func(b []byte) (any, bool) { v, ok := ParsePush(b); return v, ok },
	KindPing:    func(b []byte) (any, bool) { v, ok := ParsePing(b); return v, ok },
	KindPong:    func(b []byte) (any, bool) { v, ok := ParsePong(b); return v, ok },
	KindGoaway:  func(b []byte) (any, bool) { v, ok := ParseGoaway(b); return v, ok },
	KindBye:     func(b []byte) (any, bool) { return nil, ParseBye(b) },
}

func TestParsersTakeTheirKindOnly(t *testing.T) {
	for _, g := range goldens() {
		body := g.frame[LengthSize:]
		own, _ := FrameKind(body)
		for kind, parse := range parsers {
			if _, ok := parse(body); ok != (kind == own) {
				t.Errorf("%s read as %s: %v", g.name, kind, ok)
			}
			for n := range body {
				if _, ok := parse(body[:n]); ok {
					t.Errorf("%s cut to %d bytes read as %s", g.name, n, kind)
				}
			}
		}
	}
}

func TestWronglyTypedFieldsAreRefused(t *testing.T) {
	for _, line := range []string{
		`[1]`, `[1,null]`, `[1,[]]`, `[1,"ann"]`,
		`[1,{"v":"1"}]`, `[1,{"v":1.0}]`,
		`[1,{"v":1,"name":7}]`, `[1,{"v":1,"name":["ann"]}]`, `[1,{"v":1,"token":true}]`, `[1,{"v":1,"session":5}]`,
		`[1,{"v":1,"seen":[]}]`, `[1,{"v":1,"seen":{"a:b":"1"}}]`, `[1,{"v":1,"seen":{"a:b":-1}}]`, `[1,{"v":1,"seen":{"a:b":null}}]`,
		`[2]`, `[2,{"player":1}]`, `[2,{"resumed":1}]`, `[2,{"missed":[]}]`, `[2,{"missed":{"a:b":1}}]`, `[2,{"limits":5}]`,
		`[2,{"limits":{"rate":"60"}}]`, `[2,{"heartbeat_ms":"15"}]`, `[2,{"degraded":"no"}]`, `[2,{"session":1}]`, `[2,{"node":1}]`,
		`[2,{"limits":{"frame":[]}}]`, `[2,{"limits":{"burst":[]}}]`, `[2,{"limits":{"outstanding":[]}}]`,
		`[3,-1,"a:b","e",0]`, `[3,"1","a:b","e",0]`, `[3,1.0,"a:b","e",0]`, `[3,1,7,"e",0]`, `[3,1,"a:b",7,0]`, `[3,1,"a:b",null]`, `[3,1,"a:b"]`,
		`[4]`, `[4,1]`, `[4,-1,"ok",0]`, `[4,1,0,0]`,
		`[5]`, `[5,"a:b",1]`, `[5,1,1,"e",0]`, `[5,"a:b","1","e",0]`, `[5,"a:b",-1,"e",0]`, `[5,"a:b",1,1,0]`,
		`[8]`, `[8,[]]`, `[8,{"code":1}]`, `[8,{"reason":1}]`, `[8,{"retry_ms":"1"}]`, `[8,{"addrs":{}}]`, `[8,{"addrs":[1]}]`,
	} {
		body, err := AppendFromJSON(nil, []byte(line))
		if err != nil || CheckFrame(body) != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kind, _ := FrameKind(body)
		if v, ok := parsers[kind](body); ok {
			t.Errorf("%s is read as %+v", line, v)
		}
	}
	for _, payload := range []string{`null`, `[]`, `{"message":1}`, `{"retry_ms":"1"}`} {
		if f, ok := ParseFailure(mustJSON(payload)); ok {
			t.Errorf("%s is read as %+v", payload, f)
		}
	}
}

// A version out of the range of int64 is an integer all the same: it is to be refused as a version, not as a frame.
func TestVersionsAreIntegersHoweverWide(t *testing.T) {
	for line, want := range map[string]int64{
		`[1,{"v":18446744073709551615,"name":"ann"}]`: math.MaxInt64,
		`[1,{"v":9223372036854775808,"name":"ann"}]`:  math.MaxInt64,
		`[1,{"v":-9223372036854775808,"name":"ann"}]`: math.MinInt64,
	} {
		h, ok := ParseHello(mustJSON(line))
		if !ok || h.V != want || h.Name != "ann" {
			t.Errorf("%s is read as %+v (%v)", line, h, ok)
		}
	}
}

func TestMoreThanIsKnownIsIgnored(t *testing.T) {
	for _, tc := range []struct{ line, same string }{
		{`[1,{"v":1,"name":"ann"}]`, `[1,{"future":[1,{}],"v":1,"name":"ann","x":null},"more",{}]`},
		{`[1,{"v":1,"name":"ann"}]`, `[1,{"v":1,"name":"ann","token":null,"session":null,"seen":null}]`},
		{`[1,{"v":1,"name":"ann"}]`, `[1,{"name":"bob","v":2,"name":"ann","v":1}]`},
		{`[2,{"player":"ann","limits":{"rate":60}}]`, `[2,{"player":"ann","limits":{"rate":60,"x":{}},"x":[]},1]`},
		{`[3,1,"a:b","e",0]`, `[3,1,"a:b","e",0,{"trace":"x"},1]`},
		{`[3,1,"a:b","e",null]`, `[3,1,"a:b","e"]`},
		{`[4,1,"ok",0]`, `[4,1,"ok",0,0,0]`},
		{`[4,1,"ok",null]`, `[4,1,"ok"]`},
		{`[5,"a:b",1,"e",0]`, `[5,"a:b",1,"e",0,0,0]`},
		{`[5,"a:b",1,"e",null]`, `[5,"a:b",1,"e"]`},
		{`[6,1]`, `[6,1,2]`},
		{`[7,null]`, `[7]`},
		{`[8,{"code":"idle","addrs":[]}]`, `[8,{"code":"idle","x":1,"addrs":[]},1]`},
		{`[9]`, `[9,{"why":"tired"}]`},
	} {
		body, same := mustJSON(tc.line), mustJSON(tc.same)
		kind, _ := FrameKind(body)
		want, ok := parsers[kind](body)
		got, isOK := parsers[kind](same)
		if !ok || !isOK || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\n%s: %+v, %v", tc.line, want, ok, tc.same, got, isOK)
		}
	}
	// A key that is no text is ignored with its value.
	body := append([]byte{0x92, 1, 0x83, 7, 0x91, 7, 0xa1, 'v', 1}, 0xa4, 'n', 'a', 'm', 'e', 0xa1, 'a')
	if h, ok := ParseHello(body); !ok || h.Name != "a" || h.V != 1 {
		t.Errorf("%+v, %v", h, ok)
	}
}

func TestTextMayBeBin(t *testing.T) {
	body := []byte{0x95, 3, 1, 0xc4, 5}
	body = append(append(body, "echo:"...), 0xc4, 1, 'e', 0xc0)
	if c, ok := ParseCall(body); !ok || string(c.Topic) != "echo:" || string(c.Event) != "e" {
		t.Errorf("%+v, %v", c, ok)
	}
	body = append(AppendBin(append(AppendBin([]byte{0x92, 1, 0x82}, []byte("v")), 1), []byte("name")), AppendBin(nil, []byte("ann"))...)
	if h, ok := ParseHello(body); !ok || h.Name != "ann" || h.V != 1 || !h.HasName || h.HasToken {
		t.Errorf("%+v, %v", h, ok)
	}
}

func TestAbsentAndEmptyDiffer(t *testing.T) {
	h, ok := ParseHello(mustJSON(`[1,{}]`))
	if !ok || h.HasName || h.HasToken || h.V != 0 {
		t.Errorf("%+v, %v", h, ok)
	}
	h, ok = ParseHello(mustJSON(`[1,{"name":"","token":""}]`))
	if !ok || !h.HasName || !h.HasToken {
		t.Errorf("%+v, %v", h, ok)
	}
	if f, ok := ParseFailure(mustJSON(`{"message":"m"}`)); !ok || f.HasRetry {
		t.Errorf("%+v, %v", f, ok)
	}
	if f, ok := ParseFailure(AppendFailure(nil, "m", 0)); !ok || !f.HasRetry || f.RetryMS != 0 {
		t.Errorf("%+v, %v", f, ok)
	}
}

func TestSeen(t *testing.T) {
	want := []Seen{{"", 3}, {"chat:lobby", 1 << 63}}
	got, ok := ParseSeen(AppendSeen(nil, want))
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := ParseSeen(nil); ok {
		t.Error("nothing is read as a map")
	}
}

func TestStatusesOfTheFutureAreKept(t *testing.T) {
	for _, code := range append(Codes(), CodeOK, "from_the_future") {
		r, ok := ParseReply(AppendReplyError(nil, 1, code, "m", 5)[LengthSize:])
		if !ok || r.Status != code {
			t.Errorf("%s is read as %q", code, r.Status)
		}
	}
}

func TestFramesReadBackAsWritten(t *testing.T) {
	text := rapid.StringN(0, 50, 300)
	rapid.Check(t, func(t *rapid.T) {
		ref := rapid.Uint64().Draw(t, "ref")
		topic, event := text.Draw(t, "topic"), text.Draw(t, "event")
		payload := encode(nil, genValue(t, 2, false))
		frame := AppendCall([]byte("before"), ref, topic, []byte(event), payload)[len("before"):]
		if !bytes.Equal(frame, framed(frame[LengthSize:])) {
			t.Fatal("wrong length")
		}
		c, ok := ParseCall(frame[LengthSize:])
		if !ok || c.Ref != ref || string(c.Topic) != topic || string(c.Event) != event || !bytes.Equal(c.Payload, payload) {
			t.Fatalf("CALL: %+v, %v", c, ok)
		}
		p, ok := ParsePush(AppendPush(nil, []byte(topic), ref, event, payload)[LengthSize:])
		if !ok || p.Offset != ref || string(p.Topic) != topic || string(p.Event) != event || !bytes.Equal(p.Payload, payload) {
			t.Fatalf("PUSH: %+v, %v", p, ok)
		}
		r, ok := ParseReply(AppendReply(nil, ref, payload)[LengthSize:])
		if !ok || r.Ref != ref || r.Status != CodeOK || !bytes.Equal(r.Payload, payload) {
			t.Fatalf("REPLY: %+v, %v", r, ok)
		}
		w := Welcome{Player: topic, Session: event, Node: "n", Resumed: true, HeartbeatMS: rapid.Int64().Draw(t, "ms"), Limits: Limits{1, -2, 3, 4}}
		for range rapid.IntRange(0, 20).Draw(t, "topics") {
			w.Missed = append(w.Missed, Missed{text.Draw(t, "topic"), rapid.Bool().Draw(t, "missed")})
		}
		if got, ok := ParseWelcome(AppendWelcome(nil, w)[LengthSize:]); !ok || !reflect.DeepEqual(got, w) {
			t.Fatalf("WELCOME: %+v, %v", got, ok)
		}
		h := Hello{V: rapid.Int64().Draw(t, "v"), HasName: true, Name: topic, HasToken: true, Token: event, Session: "s", Seen: []Seen{{topic, ref}}}
		if got, ok := ParseHello(AppendHello(nil, h)[LengthSize:]); !ok || !reflect.DeepEqual(got, h) {
			t.Fatalf("HELLO: %+v, %v", got, ok)
		}
		g := Goaway{Code: Code(event), Reason: topic, RetryMS: w.HeartbeatMS, Addrs: []string{topic, event}}
		if got, ok := ParseGoaway(AppendGoaway(nil, g)[LengthSize:]); !ok || !reflect.DeepEqual(got, g) {
			t.Fatalf("GOAWAY: %+v, %v", got, ok)
		}
	})
}
