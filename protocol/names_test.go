package protocol

import (
	"strings"
	"testing"
)

func TestPlayerNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "ann": true, "A.b-c_9": true, strings.Repeat("x", 64): true, "-": true, "..": true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a:b": false, "a/b": false, "é": false, "a\x00": false, "a\n": false, "a@b": false,
	} {
		if ValidPlayer(name) != want || ValidPlayer([]byte(name)) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, tc := range []struct {
		topic, game, id string
		ok              bool
	}{
		{"trivia:friday", "trivia", "friday", true},
		{"echo:", "echo", "", true},
		{"a-9:A.b_c-", "a-9", "A.b_c-", true},
		{strings.Repeat("g", 32) + ":" + strings.Repeat("I", 64), strings.Repeat("g", 32), strings.Repeat("I", 64), true},
		{topic: ""}, {topic: ":"}, {topic: ":id"}, {topic: "game"}, {topic: "Game:id"}, {topic: "ga_me:id"}, {topic: "g:a:b"},
		{topic: "g:é"}, {topic: "g:a b"}, {topic: strings.Repeat("g", 33) + ":x"}, {topic: "g:" + strings.Repeat("i", 65)},
	} {
		game, id, ok := SplitTopic(tc.topic)
		if ok != tc.ok || ok && (game != tc.game || id != tc.id) {
			t.Errorf("SplitTopic(%q) = %q, %q, %v", tc.topic, game, id, ok)
		}
		if _, _, ok := SplitTopic([]byte(tc.topic)); ok != tc.ok {
			t.Errorf("%q as bytes: %v", tc.topic, ok)
		}
		if got, want := ValidTopic(tc.topic), tc.ok || tc.topic == ""; got != want {
			t.Errorf("ValidTopic(%q) = %v", tc.topic, got)
		}
		if tc.ok && !ValidGame(tc.game) {
			t.Errorf("ValidGame(%q) = false", tc.game)
		}
	}
	if ValidGame("") || ValidGame("A") || ValidGame(strings.Repeat("g", 33)) {
		t.Error("ValidGame takes what it must not")
	}
}

func TestCodes(t *testing.T) {
	want := map[Class]string{
		ClassRetry: "busy unavailable moved degraded rate_limited draining shutdown slow_consumer hello_timeout idle internal",
		ClassFix:   "not_found forbidden invalid too_late out stale_ref conflict",
		ClassEnd:   "bad_frame frame_too_large bad_version bad_name bad_token expired_token hello_required replaced kicked",
	}
	n := 0
	for class, codes := range want {
		for _, c := range strings.Fields(codes) {
			n++
			if got := Code(c).Class(); got != class {
				t.Errorf("%s is %s, want %s", c, got, class)
			}
			if Code(c).Advice() == "" {
				t.Errorf("%s: no advice", c)
			}
		}
	}
	codes := Codes()
	seen := map[Code]bool{}
	for _, c := range codes {
		seen[c] = true
	}
	if len(codes) != n || len(seen) != n {
		t.Errorf("%d codes, %d different, want %d", len(codes), len(seen), n)
	}
	codes[0] = "changed"
	if Codes()[0] == "changed" {
		t.Error("Codes gives its own table away")
	}
	if CodeOK.Class() != ClassOK || Code("from_the_future").Class() != ClassFix || Code("from_the_future").Advice() != "" {
		t.Error("ok or unknown codes")
	}
	for class, name := range map[Class]string{ClassOK: "ok", ClassRetry: "retry", ClassFix: "fix", ClassEnd: "end", 9: "unknown"} {
		if class.String() != name {
			t.Errorf("class %d is %q", class, class)
		}
	}
}

func TestKinds(t *testing.T) {
	for k := Kind(0); k < 12; k++ {
		if known := k >= KindHello && k <= KindBye; known == (k.String() == "unknown") {
			t.Errorf("kind %d is %q", k, k)
		}
		want := strings.Contains(" HELLO CALL PING PONG BYE ", " "+k.String()+" ")
		if k.FromClient() != want {
			t.Errorf("%s from a client: %v", k, k.FromClient())
		}
	}
}
