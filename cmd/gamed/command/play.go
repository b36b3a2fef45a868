package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gamed/client"
	"gamed/game"
	"gamed/protocol"
)

// playTimeout bounds one command of a player in the terminal.
const playTimeout = 10 * time.Second

// lingering is how long the end of the input waits for pushes that are on their way.
const lingering = 300 * time.Millisecond

func newPlay(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "play",
		Short: "Play in the terminal",
		Long: `Logs in as a player and takes commands, one a line: join TOPIC, then the words of the games (help lists them). What the server
pushes is printed as it comes. When the connection breaks it goes on with another node and says so. Ends with bye or at the end of
the input.`,
		Example: `  gamed play --as ann
  printf 'join chat:lobby\nsay hi\n' | gamed play --addr 10.0.0.1:7300 --as bob`,
		Args: cobra.NoArgs,
	}
	l := addLogin(cmd, "as", "")
	topic := cmd.Flags().String("join", "", "`TOPIC` to join at once, such as trivia:demo")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if l.name == "" && l.token == "" && l.tokenFile == "" {
			return usage(errors.New("who plays? say --as NAME (or --token-file FILE)"))
		}
		opt, err := l.options()
		if err != nil {
			return err
		}
		ctx, cancel := e.untilSignal()
		defer cancel()
		return play(ctx, e, l.addrs, opt, *topic)
	})
	return cmd
}

// player is a person at a terminal.
type player struct {
	c     *client.Client
	words map[string]game.Word

	mu    sync.Mutex // guards what follows
	out   io.Writer
	topic string // joined last
	mem   map[string]game.Payload
}

func play(ctx context.Context, e *env, addrs []string, opt client.Options, topic string) error {
	p := &player{out: e.stdout, words: map[string]game.Word{}, mem: map[string]game.Payload{}}
	for _, g := range e.games {
		for _, w := range g.Words {
			p.words[w.Name] = w
		}
	}
	first := true
	opt.OnPush = func(n client.Push) {
		p.remember("push", n.Topic, n.Event, n.Payload)
		p.say("%s", describe(n.Topic, n.Event, n.Payload))
	}
	opt.OnDisconnect = func(err error) { p.say("* connection lost (%v); looking for another node …", err) }
	opt.OnConnect = func(w client.Connected) {
		switch {
		case first:
			p.say("* connected to %s; help lists the commands", w.Node)
		case w.Resumed:
			p.say("* connected again, to %s; nothing was missed%s", w.Node, exceptions(w.Missed))
		default:
			p.say("* connected again, to %s, but the session was lost: join again", w.Node)
		}
		first = false
	}
	opt.OnGap = func(g client.Gap) { p.say("* %s of %s did not come", plural(int64(g.To-g.From+1), "message"), g.Topic) }
	c, err := client.Dial(ctx, addrs, opt)
	if err != nil {
		return unreachable(err)
	}
	defer c.Close()
	p.c = c
	if topic != "" {
		p.do(ctx, "join "+topic)
	}
	lines := readLines(ctx, e.stdin)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				pause(ctx, lingering)
				return nil
			}
			if !p.do(ctx, line) {
				return nil
			}
		case <-c.Done():
			return finding(fmt.Errorf("the server ended the session: %w", c.Err()))
		case <-ctx.Done():
			return nil
		}
	}
}

func exceptions(missed map[string]bool) string {
	var topics []string
	for t, yes := range missed {
		if yes {
			topics = append(topics, t)
		}
	}
	if len(topics) == 0 {
		return ""
	}
	return " except in " + strings.Join(topics, " ")
}

// readLines gives the input line by line; the channel is closed at its end. The goroutine ends with the input, or with ctx when a
// line comes after that: reading a terminal cannot be interrupted.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		for sc.Scan() {
			select {
			case lines <- sc.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func (p *player) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// do runs one line; false ends the game.
func (p *player) do(ctx context.Context, line string) bool {
	word, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	args = strings.TrimSpace(args)
	ctx, cancel := context.WithTimeout(ctx, playTimeout)
	defer cancel()
	switch strings.ToLower(word) {
	case "":
	case "bye", "quit", "exit":
		return false
	case "help":
		p.help()
	case "join":
		if !protocol.ValidTopic(args) || args == "" {
			p.say("join what? for example: join chat:lobby")
			break
		}
		p.call(ctx, args, "join", nil)
	case "call":
		p.raw(ctx, args)
	default:
		p.word(ctx, strings.ToLower(word), args)
	}
	return true
}

// raw is "call TOPIC EVENT {json}".
func (p *player) raw(ctx context.Context, args string) {
	parts := strings.SplitN(args, " ", 3)
	if len(parts) < 2 {
		p.say(`call what? for example: call echo: anything {"a":1}`)
		return
	}
	var payload game.Payload
	if len(parts) == 3 {
		b, err := protocol.AppendFromJSON(nil, []byte(parts[2]))
		if err != nil {
			p.say("the payload is not JSON: %v", err)
			return
		}
		payload = b
	}
	p.call(ctx, parts[0], parts[1], payload)
}

func (p *player) word(ctx context.Context, name, args string) {
	w, ok := p.words[name]
	if !ok {
		p.say("there is no command %q; help lists them", printable(name))
		return
	}
	topic := w.Topic
	if topic == "" {
		p.mu.Lock()
		topic = p.topic
		p.mu.Unlock()
	}
	if topic == "" {
		p.say("join a topic first, for example: join chat:lobby")
		return
	}
	payload := game.Payload(nil)
	if w.Parse != nil {
		var err error
		if payload, err = w.Parse(args, memory{p, topic}); err != nil {
			p.say("%s %s: %v", w.Name, w.Usage, err)
			return
		}
	}
	p.call(ctx, topic, w.Event, payload)
}

func (p *player) call(ctx context.Context, topic, event string, payload game.Payload) {
	answer, err := p.c.Call(ctx, topic, event, payload)
	if err != nil {
		p.say("- %v", err)
		return
	}
	p.remember("reply", topic, event, answer)
	if event == "join" {
		p.mu.Lock()
		p.topic = topic
		p.mu.Unlock()
	}
	p.say("+ %s", jsonOf(answer))
}

func (p *player) help() {
	p.say("%-32s %s", "join TOPIC", "enter a room, such as chat:lobby or trivia:demo")
	for _, name := range slices.Sorted(maps.Keys(p.words)) {
		w := p.words[name]
		p.say("%-32s %s", strings.TrimSpace(w.Name+" "+w.Usage), w.Help)
	}
	p.say("%-32s %s", "call TOPIC EVENT {json}", "anything else")
	p.say("%-32s %s", "bye", "leave")
}

// maxMemory bounds what is remembered: topics times events a person has met.
const maxMemory = 1024

func (p *player) remember(kind, topic, event string, payload game.Payload) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mem) >= maxMemory {
		clear(p.mem)
	}
	p.mem[kind+" "+topic+" "+event] = payload
}

// memory is what a word may look up of its topic.
type memory struct {
	p     *player
	topic string
}

func (m memory) get(kind, event string) game.Payload {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	return m.p.mem[kind+" "+m.topic+" "+event]
}

func (m memory) Pushed(event string) game.Payload  { return m.get("push", event) }
func (m memory) Replied(event string) game.Payload { return m.get("reply", event) }
