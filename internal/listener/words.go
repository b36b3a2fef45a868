package listener

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"gamed/game"
	"gamed/protocol"
)

// word is a command of word mode. do gets the rest of the line and appends a CALL frame to dst, or answers by itself.
type word struct {
	name, usage, help string
	early             bool // allowed before hello
	do                func(c *Conn, in *intake, dst []byte, args string) []byte
}

var builtins = []word{
	{name: "hello", usage: "<name or token>", help: "begin", early: true, do: (*Conn).wordHello},
	{name: "join", usage: "<topic>", help: "join a topic, such as chat:lobby", do: (*Conn).wordJoin},
	{name: "call", usage: "<topic> <event> [json]", help: `call any event; topic "-" is yourself`, do: (*Conn).wordCall},
	{name: "ping", help: "see whether the server is there", early: true, do: (*Conn).wordPing},
	{name: "help", help: "this list", early: true, do: nil},
	{name: "bye", help: "leave for good", early: true, do: (*Conn).wordBye},
}

func builtin(name string) bool {
	return slices.ContainsFunc(builtins, func(w word) bool { return w.name == name })
}

// wordTable is all commands by name.
func wordTable(games []game.Word) map[string]*word {
	table := make(map[string]*word, len(builtins)+len(games))
	for _, w := range builtins {
		table[w.name] = &w
	}
	for _, g := range games {
		table[g.Name] = &word{name: g.Name, usage: g.Usage, help: g.Help,
			do: func(c *Conn, in *intake, dst []byte, args string) []byte { return c.wordGame(in, dst, args, g) }}
	}
	table["help"].do = func(c *Conn, in *intake, dst []byte, _ string) []byte {
		if c.charge(in, protocol.KindPing, 0) {
			c.say(helpText(builtins, games))
		}
		return dst
	}
	return table
}

func helpText(own []word, games []game.Word) string {
	var b strings.Builder
	b.WriteString("+ok commands:")
	line := func(name, usage, help string) {
		fmt.Fprintf(&b, "\n  %-28s %s", strings.TrimSpace(name+" "+usage), help)
	}
	for _, w := range own {
		line(w.name, w.usage, w.help)
	}
	for _, w := range games {
		line(w.Name, w.Usage, w.Help)
	}
	return b.String()
}

// wordLine handles one command and appends its CALL frame, if it makes one, to dst.
func (c *Conn) wordLine(in *intake, dst, line []byte) []byte {
	name, args, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	w := c.srv.words[name]
	switch {
	case !c.handed && (w == nil || !w.early):
		in.refuse(protocol.CodeHelloRequired, `the first command must be: hello <name>`)
	case w == nil:
		if c.charge(in, protocol.KindPing, 0) {
			c.say(fmt.Sprintf("-%s unknown command %q, try: help", protocol.CodeInvalid, name))
		}
	default:
		return w.do(c, in, dst, strings.TrimSpace(args))
	}
	return dst
}

func (c *Conn) wordHello(in *intake, dst []byte, args string) []byte {
	if c.handed {
		in.refuse(protocol.CodeBadFrame, "you have said hello already")
		return dst
	}
	h := protocol.Hello{V: protocol.Version, Name: args, HasName: true}
	if c.srv.o.Authenticate != nil {
		h = protocol.Hello{V: protocol.Version, Token: args, HasToken: true}
	}
	c.mu.Lock()
	c.words.asked = append(c.words.asked, question{welcome: true})
	c.mu.Unlock()
	c.hello(in, protocol.AppendHello(nil, h)[protocol.LengthSize:])
	return dst
}

func (c *Conn) wordJoin(in *intake, dst []byte, args string) []byte {
	if args == "" || strings.ContainsRune(args, ' ') {
		return c.misused(in, dst, "join <topic>")
	}
	return c.wordAsk(in, dst, question{topic: args, event: "join", joins: true}, game.EmptyMap)
}

func (c *Conn) wordCall(in *intake, dst []byte, args string) []byte {
	topic, rest, _ := strings.Cut(args, " ")
	event, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if topic == "" || event == "" {
		return c.misused(in, dst, "call <topic> <event> [json]")
	}
	if topic == emptyTopic {
		topic = ""
	}
	payload := game.EmptyMap
	if text = strings.TrimSpace(text); text != "" {
		if err := protocol.CheckJSON([]byte(text)); err != nil {
			return c.misused(in, dst, "call <topic> <event> [json]: that is no JSON")
		}
		payload = protocol.AppendTaggedJSON(nil, []byte(text))
	}
	return c.wordAsk(in, dst, question{topic: topic, event: event}, payload)
}

func (c *Conn) wordGame(in *intake, dst []byte, args string, w game.Word) []byte {
	topic := w.Topic
	if topic == "" {
		c.mu.Lock()
		topic = c.words.topic
		c.mu.Unlock()
		if topic == "" {
			return c.misused(in, dst, "join a topic first: join <topic>")
		}
	}
	payload, err := c.parse(w, args, topic)
	if err != nil {
		return c.misused(in, dst, err.Error())
	}
	return c.wordAsk(in, dst, question{topic: topic, event: w.Event}, payload)
}

// parse runs the game's own code; a panic in it costs the command alone.
func (c *Conn) parse(w game.Word, args, topic string) (p game.Payload, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.srv.log.Error("a word's Parse panicked", "word", w.Name, "panic", r, "stack", string(debug.Stack()))
			err = errors.New("this command is broken")
		}
	}()
	if w.Parse == nil {
		return game.EmptyMap, nil
	}
	return w.Parse(args, memory{c: c, topic: topic})
}

// wordAsk appends the CALL of a command and notes that its answer is awaited.
func (c *Conn) wordAsk(in *intake, dst []byte, q question, payload game.Payload) []byte {
	c.mu.Lock()
	w := c.words
	if len(w.asked) >= maxAsked {
		c.mu.Unlock()
		return c.wordBusy(in, dst)
	}
	w.ref++
	q.ref, q.before = w.ref, w.topic
	if q.joins {
		w.topic = q.topic
	}
	w.asked = append(w.asked, q)
	c.mu.Unlock()
	frame := protocol.AppendCall(dst, q.ref, q.topic, q.event, payload)
	if len(frame)-len(dst)-protocol.LengthSize > protocol.MaxFrameIn {
		in.refuse(protocol.CodeFrameTooLarge, "a command over the limit")
		return dst
	}
	if !c.charge(in, protocol.KindCall, q.ref) {
		return dst
	}
	return frame
}

func (c *Conn) wordBusy(in *intake, dst []byte) []byte {
	if !c.charge(in, protocol.KindPing, 0) {
		return dst
	}
	own := fmt.Sprintf("-%s %d commands are not answered yet", protocol.CodeBusy, maxAsked)
	c.mu.Lock()
	c.writeLine(own)
	c.mu.Unlock()
	return dst
}

func (c *Conn) wordPing(in *intake, dst []byte, _ string) []byte {
	if c.charge(in, protocol.KindPing, 0) {
		c.say("+ok pong")
	}
	return dst
}

func (c *Conn) wordBye(in *intake, dst []byte, _ string) []byte {
	in.stop, in.bye, in.end = true, c.handed, ending{reason: ReasonBye}
	return dst
}

// misused answers a command that makes no call.
func (c *Conn) misused(in *intake, dst []byte, text string) []byte {
	if c.charge(in, protocol.KindPing, 0) {
		c.say(fmt.Sprintf("-%s %s", protocol.CodeInvalid, text))
	}
	return dst
}
