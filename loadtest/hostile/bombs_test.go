package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// bombs kill decoders that trust them: they are not one well-formed value within the limits.
func bombs() map[string][]byte {
	return map[string][]byte{
		"an array of 4 G":          {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map of 4 G":             {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a map of 2 G, some there": append([]byte{0xdf, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 3000)...),
		"4 GiB of text":            {0xdb, 0xff, 0xff, 0xff, 0xff},
		"4 GiB of bytes":           {0xc6, 0xff, 0xff, 0xff, 0xff},
		"4 GiB of ext":             {0xc9, 0xff, 0xff, 0xff, 0xff, 74},
		"tagged JSON":              {0xc7, 2, 74, '[', ']'},
		"a timestamp":              {0xd6, 0xff, 0, 0, 0, 0},
		"17 deep":                  append(bytes.Repeat([]byte{0x91}, 16), 0x90),
		"60,000 arrays deep":       bytes.Repeat([]byte{0x91}, 60_000),
		"60,000 maps deep":         bytes.Repeat([]byte{0x81}, 60_000),
		"30,000 deep and closed":   append(bytes.Repeat([]byte{0x91}, 30_000), 0xc0),
		"arrays with long heads":   bytes.Repeat([]byte{0xdd, 0, 0, 0, 1}, 10_000),
		"20,000 values":            append(protocol.AppendArray(nil, 20_000), bytes.Repeat([]byte{0xc0}, 20_000)...),
		"60,000 empty arrays":      append(protocol.AppendArray(nil, 60_000), bytes.Repeat([]byte{0x90}, 60_000)...),
		"the unused byte":          {0xc1},
		"two values":               {0xc0, 0xc0},
	}
}

// places are where a bomb may stand in a frame after WELCOME.
func places(bomb []byte) map[string][]byte {
	frame := func(parts ...[]byte) []byte {
		body := bytes.Join(parts, nil)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	return map[string][]byte{
		"frame":   frame(bomb),
		"payload": frame([]byte{0x95, 3, 1, 0xa5, 'e', 'c', 'h', 'o', ':', 0xa1, 'e'}, bomb),
		"topic":   frame([]byte{0x93, 3, 1}, bomb),
		"ping":    frame([]byte{0x92, 6}, bomb),
		"extra":   frame([]byte{0x93, 7, 0xc0}, bomb),
		"hello":   frame([]byte{0x92, 1, 0x82, 0xa1, 'v', 1, 0xa4, 's', 'e', 'e', 'n'}, bomb),
	}
}

// quick is how long a refusal may take on a busy machine.
const quick = 2 * time.Second

// TestBombs: a bomb anywhere in a frame, before and after WELCOME, is refused at once, and memory stays flat. The kernel gives the
// process no more than 3 GiB of addresses: whoever believes a length of 4 GiB ends it.
func TestBombs(t *testing.T) {
	t.Parallel()
	n := startAs(t, exec.Command("sh", "-c", `ulimit -v 3145728 && exec "$0" "$@"`, gamed))
	before := n.memory()
	for name, bomb := range bombs() {
		for place, frame := range places(bomb) {
			for _, logged := range []bool{false, true} {
				p := dial(t, n.Players)
				if logged {
					if _, err := p.login("bomber", ""); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				if _, err := p.Write(frame); err != nil {
					t.Fatalf("%s as %s: %v", name, place, err)
				}
				g, ok, err := p.last()
				took := time.Since(began)
				known := ok && (g.Code == protocol.CodeBadFrame || g.Code == protocol.CodeFrameTooLarge && !logged)
				if err != nil || !known || g.RetryMS != -1 || took > quick {
					t.Errorf("%s as %s, logged in %v: %+v %v after %v", name, place, logged, g, err, took)
				}
				_ = p.Close()
			}
		}
	}
	if after := n.memory(); after > before+flat {
		t.Errorf("memory went from %d to %d MiB", before, after)
	}
	n.calm(t)
}

// internal are events that only entities may send.
var internal = []string{"credit", "receive", "settled", "standing", "final", "payout"}

// events are all that the games in the box know, those meant for entities only included.
var events = map[string][]string{
	"echo:":      {"e"},
	"bank:":      {"deposit", "withdraw", "transfer", "balance", "credit", "receive", "settled"},
	"chat:lobby": {"join", "say", "who", "leave"},
	"trivia:one": {"join", "open", "start", "answer", "leave", "standing", "final", "payout"},
	"":           {"", "degraded"},
	"nogame:x":   {"e"},
}

// nasty are well-formed payloads that nobody expects.
func nasty() map[string]game.Payload {
	deep := append(bytes.Repeat([]byte{0x91}, 14), 0xc0)
	deepMap := append(bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 14), 0xc0)
	list := append(protocol.AppendArray(nil, 4000), bytes.Repeat([]byte{0xc0}, 4000)...)
	pairs := protocol.AppendMap(nil, 2000)
	for i := range 2000 {
		pairs = protocol.AppendNil(protocol.AppendInt(pairs, int64(i)))
	}
	long := protocol.AppendStr(nil, strings.Repeat("\xff", 60_000))
	m := map[string]game.Payload{
		"nil": {0xc0}, "a number": {7}, "an array": {0x90}, "deep": deep, "deep maps": deepMap, "4,000 nils": list,
		"2,000 numbered pairs": pairs, "long text": long, "a map with an array for a key": {0x81, 0x90, 0xc0}, "a map that declares 32 bits": {0xdf, 0, 0, 0, 0},
	}
	values := map[string][]byte{
		"2^64-1": protocol.AppendUint(nil, math.MaxUint64), "-2^63": protocol.AppendInt(nil, math.MinInt64), "2^63-1": protocol.AppendInt(nil, math.MaxInt64),
		"2^53+1": protocol.AppendInt(nil, 1<<53+1), "NaN": protocol.AppendFloat(nil, math.NaN()), "Inf": protocol.AppendFloat(nil, math.Inf(1)),
		"1e300": protocol.AppendFloat(nil, 1e300), "text": long, "bytes": protocol.AppendBin(nil, bytes.Repeat([]byte{0}, 50_000)), "deep": deep[2:],
		"list": list[:3+3000], "true": {0xc3}, "zero": {0}, "300": protocol.AppendInt(nil, 300),
	}
	values["list"] = append(protocol.AppendArray(nil, 3000), bytes.Repeat([]byte{0x80}, 3000)...)
	for name, v := range values {
		all := protocol.AppendMap(nil, 9)
		for _, key := range []string{"amount", "id", "to", "text", "q", "choice", "questions", "prize", "pause"} {
			all = append(protocol.AppendStr(all, key), v...)
			if len(all) > 55_000 {
				break
			}
		}
		if len(all) < 55_000 && len(v) < 100 {
			m["all "+name] = all
		}
		for _, key := range []string{"amount", "text", "to", "questions"} {
			m[key+" "+name] = game.NewMap().Raw(key, v).Payload()
		}
		question := game.NewMap().Text("text", "?").Texts("choices", []string{"a", "b"}).Int("answer", 0).Raw("seconds", v).Payload()
		if len(v) > 1000 {
			question = game.NewMap().Raw("text", v).Raw("choices", []byte{0x90}).Int("answer", 0).Payload()
		}
		if protocol.Check(question) == nil {
			show := append(protocol.AppendArray(nil, 1), question...)
			m["a show of "+name] = game.NewMap().Raw("questions", show).Raw("prize", v).Raw("pause", v).Payload()
			m["a show that lasts "+name] = game.NewMap().Raw("questions", show).Int("prize", 1).Payload()
		}
	}
	good := game.NewMap().Text("text", "?").Texts("choices", []string{"a", "b"}).Int("answer", 0).Float("seconds", 0.5).Payload()
	m["a good show"] = game.NewMap().Raw("questions", append(protocol.AppendArray(nil, 1), good...)).Int("prize", 1).Payload()
	for name, p := range m {
		if protocol.Check(p) != nil || len(p) > 65_000 {
			delete(m, name)
		}
	}
	return m
}

// TestNastyPayloads: whatever stands in the payload of any event of any game, the call is answered at once and no handler panics.
func TestNastyPayloads(t *testing.T) {
	t.Parallel()
	n := start(t, "--rate-limit", "off")
	payloads := nasty()
	if len(payloads) < 60 {
		t.Fatalf("only %d payloads are well-formed", len(payloads))
	}
	before := n.memory()
	p, _ := mustLogin(t, n.Players, "nasty", "")
	ref, worst := uint64(0), time.Duration(0)
	for topic, all := range events {
		for _, event := range all {
			for name, payload := range payloads {
				_ = p.SetDeadline(time.Now().Add(patience))
				ref++
				began := time.Now()
				r, err := p.call(ref, topic, event, payload)
				took := time.Since(began)
				worst = max(worst, took)
				switch {
				case err != nil:
					t.Fatalf("%q %s %s: %v", topic, event, name, err)
				case r.Status == protocol.CodeInternal || r.Status == protocol.CodeUnavailable || took > quick:
					t.Errorf("%q %s %s: %s %q after %v", topic, event, name, r.Status, r.Payload, took)
				case r.Status == protocol.CodeOK && slices.Contains(internal, event):
					t.Errorf("%q %s %s: taken from a client", topic, event, name)
				}
			}
		}
	}
	shows := 0
	for name, payload := range payloads { // a show of its own for each that is taken
		topic := fmt.Sprintf("trivia:show-%d", ref)
		for _, event := range []string{"join", "open", "start", "answer", "leave"} {
			ref++
			r, err := p.call(ref, topic, event, payload)
			if err != nil || r.Status == protocol.CodeInternal {
				t.Fatalf("%s %s: %s %v", event, name, r.Status, err)
			}
			if event == "start" && r.Status == protocol.CodeOK {
				shows++
			}
		}
	}
	if shows == 0 {
		t.Error("no show was started, not even the good one")
	}
	if after := n.memory(); after > before+flat {
		t.Errorf("memory went from %d to %d MiB", before, after)
	}
	t.Logf("%d calls, %d shows started, the slowest call took %v", ref, shows, worst)
	n.calm(t)
}
