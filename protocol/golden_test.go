package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// golden is one frame of the examples: of the tests and of docs/PROTOCOL.md.
type golden struct {
	name  string
	frame []byte
	// verbatim says that Append writes exactly this frame from what Parse reads.
	verbatim func(body []byte) ([]byte, bool)
}

func mustJSON(s string) []byte {
	b, err := AppendFromJSON(nil, []byte(s))
	if err != nil {
		panic(err)
	}
	return b
}

const exampleSession = "9f86d081884c7d659a2feaa0c55ad015"

func goldens() []golden {
	hello := func(body []byte) ([]byte, bool) { h, ok := ParseHello(body); return AppendHello(nil, h), ok }
	welcome := func(body []byte) ([]byte, bool) { w, ok := ParseWelcome(body); return AppendWelcome(nil, w), ok }
	call := func(body []byte) ([]byte, bool) {
		c, ok := ParseCall(body)
		return AppendCall(nil, c.Ref, c.Topic, c.Event, c.Payload), ok
	}
	reply := func(body []byte) ([]byte, bool) {
		r, ok := ParseReply(body)
		return AppendReply(nil, r.Ref, r.Payload), ok
	}
	failed := func(body []byte) ([]byte, bool) {
		r, ok := ParseReply(body)
		f, isFailure := ParseFailure(r.Payload)
		if !f.HasRetry {
			f.RetryMS = -1
		}
		return AppendReplyError(nil, r.Ref, r.Status, f.Message, f.RetryMS), ok && isFailure
	}
	push := func(body []byte) ([]byte, bool) {
		p, ok := ParsePush(body)
		return AppendPush(nil, p.Topic, p.Offset, p.Event, p.Payload), ok
	}
	goaway := func(body []byte) ([]byte, bool) { g, ok := ParseGoaway(body); return AppendGoaway(nil, g), ok }
	limits := Limits{Frame: MaxFrameIn, Rate: 60, Burst: 120, Outstanding: 64}
	return []golden{
		{"hello", AppendHello(nil, Hello{V: 1, HasName: true, Name: "ann"}), hello},
		{"hello-token", AppendHello(nil, Hello{V: 1, HasToken: true, Token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}), hello},
		{"hello-resume", AppendHello(nil, Hello{V: 1, HasName: true, Name: "ann", Session: exampleSession,
			Seen: []Seen{{"", 3}, {"chat:lobby", 17}}}), hello},
		{"welcome", AppendWelcome(nil, Welcome{Player: "ann", Session: exampleSession, Node: "gamed-1", HeartbeatMS: 15000, Limits: limits}), welcome},
		{"welcome-resumed", AppendWelcome(nil, Welcome{Player: "ann", Session: exampleSession, Node: "gamed-2", Resumed: true,
			Missed: []Missed{{"", false}, {"chat:lobby", true}}, Degraded: true, HeartbeatMS: 15000, Limits: limits}), welcome},
		{"call", AppendCall(nil, 7, "bank:", "deposit", mustJSON(`{"amount":5,"id":"d-1"}`)), call},
		{"call-player", AppendCall(nil, 300, "", "anything", nil), call},
		{"cast", AppendCall(nil, 0, "chat:lobby", "say", mustJSON(`{"text":"<hi> \"ann\" ✓"}`)), call},
		{"reply", AppendReply(nil, 7, mustJSON(`{"balance":5}`)), reply},
		{"reply-numbers", AppendReply(nil, 1<<63, mustJSON(`[18446744073709551615,-9223372036854775808,1.5,2.0,null,true]`)), reply},
		{"reply-bytes", AppendReply(nil, 8, AppendBin(nil, []byte{0xfb, 0xff, 0x00, 0x01})), reply},
		{"reply-error", AppendReplyError(nil, 8, CodeInvalid, "amount: want a whole number", -1), failed},
		{"reply-retry", AppendReplyError(nil, 9, CodeUnavailable, "the owner does not answer", 250), failed},
		{"push", AppendPush(nil, "chat:lobby", 18, "said", mustJSON(`{"from":"bob","text":"hi there"}`)), push},
		{"push-presence", AppendPush(nil, "chat:lobby", 0, "joined", mustJSON(`{"player":"carol"}`)), push},
		{"push-own", AppendPush(nil, "", 3, "verdict", mustJSON(`{"topic":"trivia:friday","q":2,"correct":true,"alive":true}`)), push},
		{"ping", AppendPing(nil, AppendInt(nil, 1)), func(body []byte) ([]byte, bool) { t, ok := ParsePing(body); return AppendPing(nil, t), ok }},
		{"pong", AppendPong(nil, AppendInt(nil, 1)), func(body []byte) ([]byte, bool) { t, ok := ParsePong(body); return AppendPong(nil, t), ok }},
		{"goaway", AppendGoaway(nil, Goaway{Code: CodeDraining, Reason: "this node is being emptied", RetryMS: 400,
			Addrs: []string{"10.0.0.2:7300", "10.0.0.3:7300"}}), goaway},
		{"goaway-end", AppendGoaway(nil, Goaway{Code: CodeBadFrame, Reason: "bytes after the frame", RetryMS: -1}), goaway},
		{"bye", AppendBye(nil), func(body []byte) ([]byte, bool) { return AppendBye(nil), ParseBye(body) }},
	}
}

// hexLines is b in hexadecimal, 32 bytes a line.
func hexLines(b []byte) string {
	var w strings.Builder
	for len(b) > 0 {
		n := min(len(b), 32)
		fmt.Fprintf(&w, "% x\n", b[:n])
		b = b[n:]
	}
	return w.String()
}

// shown is a golden frame as its file and the docs show it: the JSON line, then the bytes.
func (g golden) shown(t *testing.T) string {
	t.Helper()
	line, err := FrameToJSON(nil, g.frame[LengthSize:])
	if err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	return string(line) + hexLines(g.frame)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	kinds := map[Kind]bool{}
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			file := filepath.Join("testdata", "golden", g.name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(g.shown(t)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, dump, _ := strings.Cut(string(b), "\n")
			frame := unhex(t, dump)
			if !bytes.Equal(g.frame, frame) {
				t.Fatalf("Append writes\n%swant\n%s", hexLines(g.frame), dump)
			}
			if len(frame) < LengthSize || !bytes.Equal(framed(frame[LengthSize:]), frame) {
				t.Fatalf("wrong length in % x", frame)
			}
			body := frame[LengthSize:]
			if err := CheckFrame(body); err != nil {
				t.Fatal(err)
			}
			again, ok := g.verbatim(body)
			if !ok || !bytes.Equal(again, frame) {
				t.Fatalf("parse, then append: %v\n%swant\n%s", ok, hexLines(again), dump)
			}
			kind, _ := FrameKind(body)
			kinds[kind] = true

			got, err := FrameToJSON(nil, body)
			if err != nil || string(got) != line+"\n" {
				t.Fatalf("FrameToJSON: %v\n%swant\n%s", err, got, line)
			}
			sameAsOthers(t, body, line)
			if g.name == "reply-bytes" {
				return // base64 text does not become bin again
			}
			back, err := FrameFromJSON(nil, []byte(line))
			if err != nil {
				t.Fatal(err)
			}
			if back, err = NormalizeFrame(nil, back[LengthSize:]); err != nil || !bytes.Equal(back, frame) {
				t.Fatalf("FrameFromJSON: %v\n%swant\n%s", err, hexLines(back), dump)
			}
		})
	}
	if len(kinds) != int(KindBye) {
		t.Errorf("golden frames of %d kinds, want %d", len(kinds), KindBye)
	}
}

// sameAsOthers decodes the frame with vmihailenco/msgpack and the line with encoding/json and compares.
func sameAsOthers(t *testing.T, body []byte, line string) {
	t.Helper()
	var v any
	if err := msgpack.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	fromMsgpack, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := canonical(t, []byte(line)), canonical(t, fromMsgpack); got != want {
		t.Fatalf("the line is    %s\nothers read it %s", got, want)
	}
}

// canonical is JSON text as encoding/json writes it: sorted keys, numbers as values.
func canonical(t testing.TB, text []byte) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	b, err := json.Marshal(plainNumbers(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// plainNumbers turns every number into an integer if it is written as one or has an equal one, else a float.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			if f == float64(int64(f)) && f < 1<<53 && f > -1<<53 {
				return int64(f)
			}
			return f
		}
		if v == "-0" {
			return int64(0)
		}
		return v
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}
