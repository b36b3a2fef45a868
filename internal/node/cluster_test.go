package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// gambler is a player: a client that remembers what was pushed to it.
type gambler struct {
	*client.Client
	t *testing.T

	mu     sync.Mutex // guards what follows
	pushes []client.Push
	faults []string // gaps, lost sessions, what was missed
}

// dial connects a player to the nodes given, the first one first.
func dial(t *testing.T, name string, nodes ...*running) *gambler {
	t.Helper()
	p := &gambler{t: t}
	note := func(format string, args ...any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, name+": "+fmt.Sprintf(format, args...))
	}
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addrs().Players)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	first := true
	c, err := client.Dial(ctx, addrs, client.Options{Name: name,
		OnPush: func(x client.Push) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.pushes = append(p.pushes, x)
		},
		OnGap: func(g client.Gap) { note("gap %+v", g) },
		OnConnect: func(c client.Connected) {
			if !c.Resumed && !first {
				note("a new session")
			}
			first = false
			for topic, missed := range c.Missed {
				if missed {
					note("missed pushes of %q", topic)
				}
			}
		}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.Client = c
	t.Cleanup(func() { _ = c.Close() })
	return p
}

// said are the texts of the chat pushes so far.
func (p *gambler) said() (texts []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.pushes {
		if x.Event == "said" {
			f := x.Payload.Fields()
			texts = append(texts, f.Text("text"))
		}
	}
	return texts
}

// hears waits until the player has heard exactly these texts.
func (p *gambler) hears(want []string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, fmt.Sprintf("%s to hear %d texts", p.Player(), len(want)), func() bool { return len(p.said()) >= len(want) })
	if got := p.said(); !slices.Equal(got, want) {
		p.t.Fatalf("%s heard %q, want %q", p.Player(), got, want)
	}
	p.wellTreated()
}

func (p *gambler) wellTreated() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) > 0 {
		p.t.Fatal(p.faults)
	}
}

// try calls, retrying what can be retried.
func (p *gambler) try(topic, event string, payload any) (game.Fields, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 25*time.Second)
	defer cancel()
	b, err := p.Call(ctx, topic, event, payload)
	return b.Fields(), err
}

// call calls and fails the test on any code.
func (p *gambler) call(topic, event string, payload any) game.Fields {
	p.t.Helper()
	f, err := p.try(topic, event, payload)
	if err != nil {
		p.t.Fatalf("%s: %s %s: %v", p.Player(), topic, event, err)
	}
	return f
}

func (p *gambler) deposit(n int64) int64 {
	p.t.Helper()
	f := p.call("bank:", "deposit", game.NewMap().Int("amount", n))
	return f.Int("balance")
}

func (p *gambler) say(topic, text string) {
	p.t.Helper()
	p.call(topic, "say", game.NewMap().Text("text", text))
}

// named gives a name whose key is owned by owner (and, unless nil, backed up by backup).
func named(t *testing.T, key func(name string) string, owner, backup *running) string {
	t.Helper()
	table := owner.router.Table()
	for i := range 10_000 {
		name := fmt.Sprintf("p%d", i)
		part := shard.PartitionOf(key(name))
		o, _ := table.OwnerOf(part)
		b, _ := table.BackupOf(part)
		if o.Name == owner.name && (backup == nil || b.Name == backup.name) {
			return name
		}
	}
	t.Fatal("no such name")
	return ""
}

func playerKey(name string) string { return envelope.PlayerPrefix + name }
func chatKey(name string) string   { return "chat/" + name }

func TestPlayersOnAllNodesPlayTogether(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	var all []*gambler
	for i, name := range []string{"ann", "bob", "cyn", "dan", "eve"} {
		p := dial(t, name, nodes[i%3])
		if got := p.deposit(5); got != 5 {
			t.Fatalf("balance %d", got)
		}
		p.call("chat:lobby", "join", nil)
		all = append(all, p)
	}
	var want []string
	for i := range 40 {
		text := fmt.Sprint(i)
		all[i%5].say("chat:lobby", text)
		want = append(want, text)
	}
	for _, p := range all {
		p.hears(want)
	}
}

func TestAConversationGoesOnAtAnotherNode(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	bob := dial(t, "bob", nodes[0])
	bob.call("chat:a", "join", nil)
	ann := rawDial(t, nodes[1], protocol.Hello{Name: "ann"})
	ann.call(1, "chat:a", "join", nil)
	deposit := game.NewMap().Int("amount", 5).Payload()
	first, frame := ann.call(2, "bank:", "deposit", deposit)
	if first.Status != protocol.CodeOK {
		t.Fatalf("deposit: %s", first.Status)
	}
	bob.say("chat:a", "before")
	ann.call(3, "chat:a", "who", nil)
	eventually(t, 5*time.Second, "the push", func() bool {
		ann.call(9, "chat:a", "who", nil)
		return len(ann.pushes) > 0
	})
	_ = ann.c.Close()
	bob.say("chat:a", "meanwhile 1")
	bob.say("chat:a", "meanwhile 2")

	again := rawDial(t, nodes[2], protocol.Hello{Name: "ann", Session: ann.welcome.Session, Seen: []protocol.Seen{{Topic: "chat:a", Offset: 1}}})
	if !again.welcome.Resumed || again.welcome.Session != ann.welcome.Session || len(again.welcome.Missed) != 2 {
		t.Fatalf("welcome %+v", again.welcome)
	}
	for _, m := range again.welcome.Missed {
		if m.Missed {
			t.Fatalf("missed %q", m.Topic)
		}
	}
	_, repeated := again.call(2, "bank:", "deposit", deposit)
	if !bytes.Equal(frame, repeated) {
		t.Fatalf("the same ref got %q, before %q", repeated, frame)
	}
	balance, _ := again.call(4, "bank:", "balance", nil)
	if f := game.Payload(balance.Payload).Fields(); f.Int("balance") != 5 {
		t.Fatalf("balance %d", f.Int("balance"))
	}
	bob.say("chat:a", "after")
	eventually(t, 5*time.Second, "the pushes", func() bool {
		again.call(10, "chat:a", "who", nil)
		return len(again.pushes) >= 3
	})
	var offsets []uint64
	for _, p := range again.pushes {
		offsets = append(offsets, p.Offset)
	}
	if !slices.Equal(offsets, []uint64{2, 3, 4}) {
		t.Fatalf("pushes %v, want what was missed and then live", offsets)
	}
}

func TestALoginAtAnotherNodeReplacesTheFirst(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	one := rawDial(t, nodes[0], protocol.Hello{Name: "ann"})
	two := rawDial(t, nodes[1], protocol.Hello{Name: "ann", Session: one.welcome.Session})
	if !two.welcome.Resumed {
		t.Fatal("not resumed")
	}
	for {
		body, err := one.read()
		if err != nil {
			t.Fatalf("no goaway: %v", err)
		}
		if g, ok := protocol.ParseGoaway(body); ok {
			if g.Code != protocol.CodeReplaced || g.RetryMS != -1 {
				t.Fatalf("goaway %+v", g)
			}
			break
		}
	}
	if r, _ := two.call(1, "bank:", "deposit", game.NewMap().Int("amount", 1).Payload()); r.Status != protocol.CodeOK {
		t.Fatalf("deposit: %s", r.Status)
	}
}
