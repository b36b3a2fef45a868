package listener

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

func TestJSONLines(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	p := dial(t, s)
	p.send([]byte(`[1,{"v":1,"na`), []byte(`me":"ann"}]`+"\r\n\n"+`[3,1,"echo:","e",{"n":18446744073709551615,"h":"<&>"}]`+"\n"))
	if l := p.line(); !strings.HasPrefix(l, `[2,{"player":"ann","session":"s","node":"n",`) {
		t.Fatal(l)
	}
	p.expectLine(`[4,1,"ok",{"n":18446744073709551615,"h":"<&>"}]`)
	p.send([]byte("[6,\"t\"]\n[3,0,\"echo:\",\"cast\",1]\n[3,2,\"echo:\",\"fail\"]\n"))
	p.expectLine(`[4,2,"forbidden",{"message":"no"}]`)
	p.expectLine(`[7,"t"]`)
	c := h.only(t)
	if !c.Text() {
		t.Fatal("JSON is text")
	}
	c.Send(protocol.AppendPush(protocol.AppendPush(nil, "chat:x", 7, "said", protocol.AppendBin(nil, []byte("hi"))), "", 0, "e", nil))
	p.expectLine(`[5,"chat:x",7,"said","aGk="]`)
	p.expectLine(`[5,"",0,"e",null]`)
	p.send([]byte("[9]\n"))
	p.expectEnd()
	if r := h.reason(t); r != ReasonBye {
		t.Fatalf("reason %v", r)
	}
}

func TestJSONRefusals(t *testing.T) {
	login := `[1,{"v":1,"name":"ann"}]` + "\n"
	deep := strings.Repeat("[", 17) + strings.Repeat("]", 17)
	for _, tc := range []struct{ name, sent, code string }{
		{"no JSON", "[1,\n", "bad_frame"},
		{"call first", `[3,1,"echo:","e"]` + "\n", "hello_required"},
		{"version", `[1,{"v":3,"name":"ann"}]` + "\n", "bad_version"},
		{"name", `[1,{"v":1,"name":""}]` + "\n", "bad_name"},
		{"long line, no end", "[" + strings.Repeat(" ", protocol.MaxFrameHello+1), "frame_too_large"},
		{"deep", login + `[3,1,"echo:","e",` + deep + "]\n", "bad_frame"},
		{"trailing", login + "[9][9]\n", "bad_frame"},
		{"ref", login + `[3,-1,"echo:","e"]` + "\n", "bad_frame"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, newEcho(), nil)
			p := dial(t, s)
			p.send([]byte(tc.sent))
			if strings.HasPrefix(tc.sent, login) {
				p.line()
			}
			if l := p.line(); !strings.HasPrefix(l, `[8,{"code":"`+tc.code+`",`) {
				t.Fatalf("got %s", l)
			}
			p.expectEnd()
		})
	}
}

// Words of a made-up game: "say text" to the topic joined last, "deposit n", "again" which repeats what was pushed and answered.
var testWords = []game.Word{
	{Name: "say", Usage: "<text>", Help: "talk", Event: "say", Parse: func(args string, _ game.Memory) (game.Payload, error) {
		return game.NewMap().Text("text", args).Payload(), nil
	}},
	{Name: "deposit", Usage: "<amount>", Help: "put in", Topic: "bank:", Event: "deposit", Parse: func(args string, _ game.Memory) (game.Payload, error) {
		n, err := strconv.Atoi(args)
		if err != nil {
			return nil, errors.New("deposit <amount>")
		}
		return game.NewMap().Int("amount", int64(n)).Payload(), nil
	}},
	{Name: "again", Help: "repeat", Event: "again", Parse: func(_ string, mem game.Memory) (game.Payload, error) {
		return game.NewMap().Raw("pushed", mem.Pushed("said")).Raw("replied", mem.Replied("say")).Payload(), nil
	}},
	{Name: "bare", Help: "no arguments", Topic: "bank:", Event: "balance"},
	{Name: "broken", Event: "x", Topic: "x:", Parse: func(string, game.Memory) (game.Payload, error) { panic("bug") }},
}

func words(t *testing.T, h *echo, change func(*Options)) *peer {
	return dial(t, start(t, h, func(o *Options) {
		o.Words = testWords
		if change != nil {
			change(o)
		}
	}))
}

func TestWords(t *testing.T) {
	h := newEcho()
	p := words(t, h, nil)
	p.send([]byte("ping\r\nhello ann\r\n"))
	p.expectLine("+ok pong")
	p.expectLine(`+ok {"player":"ann","node":"n"}`)
	p.send([]byte("say too early\nnonsense\ndeposit x\ndeposit 5\nbare\nbroken\n"))
	p.expectLine("-invalid join a topic first: join <topic>")
	p.expectLine(`-invalid unknown command "nonsense", try: help`)
	p.expectLine("-invalid deposit <amount>")
	p.expectLine(`+ok {"amount":5}`)
	p.expectLine("+ok")
	p.expectLine("-invalid this command is broken")
	p.send([]byte("join chat:lobby\nsay hi there\n"))
	p.expectLine("+ok")
	p.expectLine(`+ok {"text":"hi there"}`)
	p.send([]byte(`call echo: anything {"a": 1}` + "\ncall - fail\ncall echo:\ncall echo: e {\ncall echo: e\n"))
	p.expectLine(`+ok {"a": 1}`)
	p.expectLine("-forbidden no")
	p.expectLine("-invalid call <topic> <event> [json]")
	p.expectLine("-invalid call <topic> <event> [json]: that is no JSON")
	p.expectLine("+ok")

	c := h.only(t)
	c.Send(protocol.AppendPush(nil, "chat:lobby", 3, "said", game.NewMap().Text("text", "hi\x1b\n").Payload()))
	c.Send(protocol.AppendPush(nil, "chat:other", 3, "said", game.NewMap().Text("text", "elsewhere").Payload()))
	c.Send(protocol.AppendPush(nil, "", 0, "degraded", game.EmptyMap))
	p.expectLine(`< chat:lobby said {"text":"hi\u001b\n"}`)
	p.expectLine(`< chat:other said {"text":"elsewhere"}`)
	p.expectLine("< - degraded {}")
	p.send([]byte("again\n"))
	p.expectLine(`+ok {"pushed":{"text":"hi\u001b\n"},"replied":{"text":"hi there"}}`)

	p.send([]byte("help\nbye\n"))
	if l := p.line(); l != "+ok commands:" {
		t.Fatal(l)
	}
	seen := map[string]bool{}
	for range len(builtins) + len(testWords) {
		seen[strings.Fields(p.line())[0]] = true
	}
	if !seen["hello"] || !seen["deposit"] {
		t.Fatalf("help names %v", seen)
	}
	p.expectEnd()
	if r := h.reason(t); r != ReasonBye || !c.Text() {
		t.Fatalf("reason %v", r)
	}
	if got := strings.Join(h.calls[:5], "|"); got != "bank: deposit|bank: balance|chat:lobby join|chat:lobby say|echo: anything" {
		t.Fatal(got)
	}
}

func TestWordRefusals(t *testing.T) {
	for sent, want := range map[string]string{
		"join chat:x\n":            "-hello_required the first command must be: hello <name>",
		"SSH-2.0-x\r\n":            "-hello_required the first command must be: hello <name>",
		"hello a b\n":              "-bad_name a name is 1 to 64 of A-Z a-z 0-9 _ . -",
		"hello\n":                  "-bad_name a name is 1 to 64 of A-Z a-z 0-9 _ . -",
		strings.Repeat("x", 5000):  "-frame_too_large a line over the limit",
		"hello ann\nhello bob\n":   "-bad_frame you have said hello already",
		"G\n":                      "-hello_required the first command must be: hello <name>",
		"hello ann\nsay \xff\xfe ": "",
	} {
		p := words(t, newEcho(), nil)
		p.send([]byte(sent))
		if strings.HasPrefix(sent, "hello ann") {
			p.line()
		}
		if want == "" {
			continue
		}
		p.expectLine(want)
		p.expectEnd()
	}
}

func TestWordToken(t *testing.T) {
	h := newEcho()
	p := words(t, h, func(o *Options) {
		o.Authenticate = func(token string) (Identity, protocol.Code, error) {
			return Identity{Player: token + "-the-token"}, protocol.CodeOK, nil
		}
	})
	p.send([]byte("hello abc\n"))
	p.expectLine(`+ok {"player":"abc-the-token","node":"n"}`)
}

// Answers may overtake each other; people see them in the order of their commands.
func TestWordAnswersInOrder(t *testing.T) {
	h := &collector{got: make(chan uint64, 8)}
	s := start(t, h, func(o *Options) { o.Words = testWords })
	p := dial(t, s)
	p.send([]byte("hello ann\ncall a: one\njoin b:x\nping\ncall c: three\n"))
	p.line()
	var refs []uint64
	for range 3 {
		refs = append(refs, <-h.got)
	}
	h.conn.Send(protocol.AppendReply(nil, refs[2], protocol.AppendInt(nil, 3)))
	h.conn.Send(protocol.AppendReplyError(nil, refs[1], protocol.CodeBusy, "two", 5))
	h.conn.Send(protocol.AppendPush(nil, "x:", 1, "e", nil))
	h.conn.Send(protocol.AppendReply(nil, refs[0], protocol.AppendInt(nil, 1)))
	for _, want := range []string{"< x: e null", "+ok 1", "-busy two", "+ok pong", "+ok 3"} {
		p.expectLine(want)
	}
	p.send([]byte("say x\n"))
	p.expectLine("-invalid join a topic first: join <topic>") // the join had failed

	// A script that closes its side still gets what it waits for.
	p.send([]byte("call d: four\n"))
	ref := <-h.got
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	h.conn.Send(protocol.AppendReply(nil, ref, nil))
	p.expectLine("+ok null")
	p.expectEnd()
}

// A script that says bye right behind its commands gets their answers, and its session does not end before them.
func TestWordByeWaitsForAnswers(t *testing.T) {
	h := &leaver{collector: collector{got: make(chan uint64, 8)}, bye: make(chan struct{}, 1)}
	p := dial(t, start(t, h, nil))
	p.send([]byte("hello ann\ncall a: one\ncall a: two\nbye\n"))
	p.expectLine(`+ok {"player":"ann","node":"n"}`)
	one, two := <-h.got, <-h.got
	h.conn.Send(protocol.AppendReply(nil, one, protocol.AppendInt(nil, 1)))
	p.expectLine("+ok 1")
	select {
	case <-h.bye:
		t.Fatal("the session ended before its last answer")
	default:
	}
	h.conn.Send(protocol.AppendReply(nil, two, protocol.AppendInt(nil, 2)))
	p.expectLine("+ok 2")
	p.expectEnd()
	<-h.bye
}

// Who waits for an answer that never comes is let go at the write deadline, and nobody is told bye twice.
func TestWordByeDoesNotWaitForEver(t *testing.T) {
	h := &leaver{collector: collector{got: make(chan uint64, 8)}, bye: make(chan struct{}, 2)}
	p := dial(t, start(t, h, func(o *Options) { o.WriteTimeout = 50 * time.Millisecond }))
	p.send([]byte("hello ann\ncall a: one\nbye\n"))
	p.line()
	p.expectEnd()
	<-h.bye
	if len(h.bye) != 0 {
		t.Fatal("Bye was called twice")
	}
}

// leaver is a collector that tells of BYE.
type leaver struct {
	collector
	bye chan struct{}
}

func (h *leaver) Bye(c *Conn) { h.bye <- struct{}{}; c.Close() }

// collector answers nothing by itself.
type collector struct {
	conn *Conn
	got  chan uint64
}

func (h *collector) Hello(c *Conn, _ protocol.Hello) { h.conn = c; c.Welcome(welcomeFrame(c.Player())) }
func (h *collector) Bye(c *Conn)                     { c.Close() }
func (h *collector) Closed(*Conn, Reason)            {}
func (h *collector) Frames(_ *Conn, batch []byte) {
	for len(batch) > 0 {
		n := frameLen(batch)
		if call, ok := protocol.ParseCall(batch[4 : 4+n]); ok {
			h.got <- call.Ref
		}
		batch = batch[4+n:]
	}
}

func TestWordMemoryIsBounded(t *testing.T) {
	w := newWordState()
	big := make(game.Payload, memoBytes/4)
	for i := range 1000 {
		w.remember(memo{push: true, topic: strconv.Itoa(i), event: "e", payload: big})
		w.remember(memo{push: true, topic: "same", event: "e", payload: game.Payload{byte(i)}})
	}
	if w.bytes > memoBytes || len(w.memos) > maxMemos {
		t.Fatalf("%d bytes in %d memos", w.bytes, len(w.memos))
	}
	sum := 0
	for _, m := range w.memos {
		sum += len(m.payload)
	}
	if sum != w.bytes {
		t.Fatalf("%d bytes counted, %d there", w.bytes, sum)
	}
}

func TestWordsAreChecked(t *testing.T) {
	for _, w := range [][]game.Word{{{Name: "join"}}, {{}}, {{Name: "x"}, {Name: "x"}}} {
		if _, err := New(Options{Addr: "127.0.0.1:0", Words: w}, newEcho()); err == nil {
			t.Errorf("%v was accepted", w)
		}
	}
}
