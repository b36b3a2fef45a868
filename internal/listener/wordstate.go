package listener

import (
	"slices"

	"gamed/game"
	"gamed/protocol"
)

const (
	emptyTopic = "-"       // how word mode writes the topic ""
	maxAsked   = 128       // commands that may wait for their answers
	maxMemos   = 64        // pushes and answers remembered
	memoBytes  = 128 << 10 // and their bytes in all
)

// wordState is what a word-mode connection remembers. Conn.mu guards it.
type wordState struct {
	topic string     // joined last
	ref   uint64     // of the last command
	asked []question // commands not answered yet, oldest first
	memos []memo     // latest last
	bytes int        // in memos
	quiet func()     // not nil: to be called when no command waits any more
}

// question is a command that waits for its answer. People expect answers in the order of their commands, so one that comes
// early waits as text.
type question struct {
	ref          uint64
	topic, event string
	before       string // the topic joined before a join
	joins        bool
	welcome      bool // hello
	answer       string
}

// memo is the last push, or ok answer, of one event in one topic.
type memo struct {
	push         bool
	topic, event string
	payload      game.Payload
}

func newWordState() *wordState { return &wordState{} }

// say answers a command that made no call, in its turn.
func (c *Conn) say(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.words; len(w.asked) > 0 && len(w.asked) < maxAsked {
		w.asked = append(w.asked, question{answer: text})
		return
	}
	c.writeLine(text)
}

// writeLine writes text as it is. c.mu is held.
func (c *Conn) writeLine(text string) {
	if phase(c.phase.Load()) < phaseEnding {
		c.write(append([]byte(text), '\n'), false)
	}
}

// answered notes the answer to a command and appends all answers whose turn has come.
func (w *wordState) answered(dst []byte, i int, text string) []byte {
	w.asked[i].answer = text
	n := 0
	for n < len(w.asked) && w.asked[n].answer != "" {
		dst = append(append(dst, w.asked[n].answer...), '\n')
		n++
	}
	w.asked = slices.Delete(w.asked, 0, n)
	if len(w.asked) == 0 {
		w.asked = nil
		if w.quiet != nil {
			w.quiet()
			w.quiet = nil
		}
	}
	return dst
}

// asking says whether commands wait for their answers.
func (c *Conn) asking() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.words != nil && len(c.words.asked) > 0
}

// show appends a frame as people read it.
func (w *wordState) show(dst, body []byte) ([]byte, error) {
	kind, _ := protocol.FrameKind(body)
	switch kind {
	case protocol.KindReply:
		return w.showReply(dst, body)
	case protocol.KindPush:
		p, ok := protocol.ParsePush(body)
		if !ok {
			return dst, protocol.ErrFrame
		}
		w.remember(memo{push: true, topic: string(p.Topic), event: string(p.Event), payload: p.Payload})
		return showPush(dst, p)
	case protocol.KindWelcome:
		h, ok := protocol.ParseWelcome(body)
		if !ok {
			return dst, protocol.ErrFrame
		}
		text, err := showWelcome(h)
		if err != nil {
			return dst, err
		}
		i := slices.IndexFunc(w.asked, func(q question) bool { return q.welcome })
		if i < 0 {
			return dst, nil
		}
		return w.answered(dst, i, text), nil
	case protocol.KindGoaway:
		g, ok := protocol.ParseGoaway(body)
		if !ok {
			return dst, protocol.ErrFrame
		}
		return append(append(dst, failureText(g.Code, g.Reason)...), '\n'), nil
	}
	return dst, nil // PING, PONG: not in word mode
}

func (w *wordState) showReply(dst, body []byte) ([]byte, error) {
	r, ok := protocol.ParseReply(body)
	if !ok {
		return dst, protocol.ErrFrame
	}
	i := slices.IndexFunc(w.asked, func(q question) bool { return q.ref == r.Ref && q.ref != 0 && q.answer == "" })
	if i < 0 {
		return dst, nil // answered already
	}
	q := &w.asked[i]
	if r.Status == protocol.CodeOK {
		w.remember(memo{topic: q.topic, event: q.event, payload: r.Payload})
		text, err := showOK(r.Payload)
		if err != nil {
			text = failureText(protocol.CodeInternal, "the answer cannot be shown as text")
		}
		return w.answered(dst, i, text), err
	}
	if q.joins && w.topic == q.topic {
		w.topic = q.before
	}
	f, _ := protocol.ParseFailure(r.Payload)
	return w.answered(dst, i, failureText(r.Status, f.Message)), nil
}

// remember keeps a copy of m, and forgets the oldest when there is too much.
func (w *wordState) remember(m memo) {
	if len(m.payload) > memoBytes {
		return
	}
	i := slices.IndexFunc(w.memos, func(o memo) bool { return o.push == m.push && o.event == m.event && o.topic == m.topic })
	if i >= 0 {
		w.forget(i)
	}
	m.payload = m.payload.Clone()
	w.memos = append(w.memos, m)
	w.bytes += len(m.payload)
	for len(w.memos) > maxMemos || w.bytes > memoBytes {
		w.forget(0)
	}
}

func (w *wordState) forget(i int) {
	w.bytes -= len(w.memos[i].payload)
	w.memos = slices.Delete(w.memos, i, i+1)
}

// memory is game.Memory for the commands of one topic.
type memory struct {
	c     *Conn
	topic string
}

// Pushed implements game.Memory.
func (m memory) Pushed(event string) game.Payload { return m.recall(true, event) }

// Replied implements game.Memory.
func (m memory) Replied(event string) game.Payload { return m.recall(false, event) }

func (m memory) recall(push bool, event string) game.Payload {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.c.words == nil {
		return nil
	}
	for _, o := range m.c.words.memos {
		if o.push == push && o.event == event && o.topic == m.topic {
			return o.payload
		}
	}
	return nil
}
