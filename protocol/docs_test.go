package protocol

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const docFile = "../docs/PROTOCOL.md"

// block is a fenced block of the docs.
type block struct {
	kind, name string
	text       string
	start, end int // of text, in the file
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+) ([a-z-]+)\n(.*?)^```$")

func readDoc(t *testing.T) (doc string, blocks []block) {
	t.Helper()
	b, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	doc = string(b)
	for _, m := range fence.FindAllStringSubmatchIndex(doc, -1) {
		blocks = append(blocks, block{doc[m[2]:m[3]], doc[m[4]:m[5]], doc[m[6]:m[7]], m[6], m[7]})
	}
	return doc, blocks
}

// The table of codes in the docs, from its marker to its end.
var codesSection = regexp.MustCompile(`(?s)(<!-- codes:[^\n]*-->\n)(.*)(<!-- end of codes -->)`)

func codesShown() string {
	var w strings.Builder
	w.WriteString("| code | class | what to do |\n|---|---|---|\n")
	for _, c := range Codes() {
		fmt.Fprintf(&w, "| `%s` | %s | %s |\n", c, c.Class(), c.Advice())
	}
	return w.String()
}

// TestUpdateDocs rewrites what is generated in the docs; without -update the tests below compare it.
func TestUpdateDocs(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	doc, blocks := readDoc(t)
	shown := map[string]string{}
	for _, g := range goldens() {
		shown[g.name] = g.shown(t)
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		b := blocks[i]
		text := b.text
		switch {
		case b.kind == "frame":
			text = shown[b.name]
		case b.kind == "session" && b.name == "binary":
			text = ""
			for _, l := range sessionLines(b) {
				text += l.who + " " + l.text + "\n" + indented(hexLines(plainFrame(t, l.text)))
			}
		}
		doc = doc[:b.start] + text + doc[b.end:]
	}
	doc = codesSection.ReplaceAllString(doc, "${1}"+codesShown()+"${3}")
	if err := os.WriteFile(docFile, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
}

func indented(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n    ") + "\n"
}

// plainFrame is a JSON line as a binary frame.
func plainFrame(t *testing.T, line string) []byte {
	t.Helper()
	frame, err := FrameFromJSON(nil, []byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if frame, err = NormalizeFrame(nil, frame[LengthSize:]); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return frame
}

// sessionLine is one line of a session: who says what, and the bytes under it.
type sessionLine struct{ who, text, bytes string }

func sessionLines(b block) (lines []sessionLine) {
	for l := range strings.Lines(b.text) {
		l = strings.TrimSuffix(l, "\n")
		if rest, more := strings.CutPrefix(l, "    "); more && len(lines) > 0 {
			lines[len(lines)-1].bytes += rest + " "
			continue
		}
		who, text, _ := strings.Cut(l, " ")
		lines = append(lines, sessionLine{who: who, text: text})
	}
	return lines
}

func TestDocsShowEveryGoldenFrame(t *testing.T) {
	_, blocks := readDoc(t)
	in := map[string]string{}
	for _, b := range blocks {
		if b.kind == "frame" {
			in[b.name] = b.text
		}
	}
	for _, g := range goldens() {
		text, ok := in[g.name]
		delete(in, g.name)
		switch {
		case !ok:
			t.Errorf("%s is not shown", g.name)
		case text != g.shown(t):
			t.Errorf("%s is shown as\n%swant\n%s", g.name, text, g.shown(t))
		}
	}
	for name := range in {
		t.Errorf("%s is shown, and no golden frame", name)
	}
}

func TestDocsShowTheCodes(t *testing.T) {
	doc, _ := readDoc(t)
	m := codesSection.FindStringSubmatch(doc)
	if m == nil || m[2] != codesShown() {
		t.Errorf("the docs' table of codes differs; want\n%s", codesShown())
	}
}

func TestDocsShowTheLimits(t *testing.T) {
	doc, _ := readDoc(t)
	for _, n := range []int{MaxFrameIn, MaxFrameHello, MaxFrameOut, MaxValues} {
		if s := fmt.Sprintf("%d,%03d", n/1000, n%1000); !strings.Contains(doc, s) {
			t.Errorf("%s is not in the docs", s)
		}
	}
	if s := fmt.Sprintf("at most %d deep", MaxDepth); !strings.Contains(doc, s) {
		t.Errorf("%q is not in the docs", s)
	}
}

// TestDocsSessions reads the sessions as a client and a server would: every line is a well-formed frame that its side may
// send, every REPLY has its CALL, the offsets of a stream have no gap, and hexadecimal bytes are those of their line.
func TestDocsSessions(t *testing.T) {
	_, blocks := readDoc(t)
	sessions := map[string]int{}
	for _, b := range blocks {
		if b.kind != "session" {
			continue
		}
		sessions[b.name]++
		called, offsets := map[uint64]bool{}, map[string]uint64{}
		for _, l := range sessionLines(b) {
			if l.who != "C" && l.who != "S" {
				t.Errorf("neither C nor S: %s", l.text)
				continue
			}
			if b.name == "words" {
				checkWords(t, l)
				continue
			}
			frame := plainFrame(t, l.text)
			body := frame[LengthSize:]
			if b.name == "binary" && !bytes.Equal(unhex(t, l.bytes), frame) {
				t.Errorf("%s is shown as %s, want % x", l.text, l.bytes, frame)
			}
			if line, err := FrameToJSON(nil, body); err != nil || string(line) != l.text+"\n" {
				t.Errorf("%s would be written %s (%v)", l.text, line, err)
			}
			kind, _ := FrameKind(body)
			if _, ok := parsers[kind](body); !ok {
				t.Errorf("%s: not a %s", l.text, kind)
			}
			beat := kind == KindPing || kind == KindPong
			if kind.FromClient() != (l.who == "C") && !beat {
				t.Errorf("%s %s: the wrong side", l.who, l.text)
			}
			checkReplies(t, l.text, body, called, offsets)
		}
	}
	if sessions["binary"] == 0 || sessions["json"] < 2 || sessions["words"] == 0 {
		t.Errorf("sessions shown: %v", sessions)
	}
}

func checkReplies(t *testing.T, text string, body []byte, called map[uint64]bool, offsets map[string]uint64) {
	t.Helper()
	if c, ok := ParseCall(body); ok {
		called[c.Ref] = true
		if !ValidTopic(c.Topic) {
			t.Errorf("%s: ill-formed topic", text)
		}
	}
	if r, ok := ParseReply(body); ok {
		if !called[r.Ref] {
			t.Errorf("%s: nobody called", text)
		}
		if _, isFailure := ParseFailure(r.Payload); r.Status != CodeOK && (r.Status.Advice() == "" || !isFailure) {
			t.Errorf("%s: no such failure", text)
		}
	}
	if p, ok := ParsePush(body); ok && p.Offset != 0 {
		if last := offsets[string(p.Topic)]; last != 0 && p.Offset != last+1 {
			t.Errorf("%s: a gap", text)
		}
		offsets[string(p.Topic)] = p.Offset
	}
	if g, ok := ParseGoaway(body); ok && g.Code.Advice() == "" {
		t.Errorf("%s: no such code", text)
	}
}

// checkWords judges a line of word mode.
func checkWords(t *testing.T, l sessionLine) {
	t.Helper()
	text := l.text
	if l.who == "C" {
		return
	}
	var payload string
	switch {
	case text == "+ok":
		return
	case strings.HasPrefix(text, "+ok "):
		payload = text[len("+ok "):]
	case strings.HasPrefix(text, "-"):
		if code, _, _ := strings.Cut(text[1:], " "); Code(code).Advice() == "" {
			t.Errorf("%s: no such code", text)
		}
		return
	case strings.HasPrefix(text, "< "):
		f := strings.SplitN(text, " ", 4)
		if len(f) < 4 || !ValidTopic(f[1]) {
			t.Errorf("%s: not a push", text)
			return
		}
		payload = f[3]
	default:
		t.Errorf("%s: not an answer, not a push", text)
		return
	}
	if err := CheckJSON([]byte(payload)); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}
