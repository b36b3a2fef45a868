package loadtest

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"gamed/client"
	"gamed/game"
)

// talker is one player of the chat scenario. Its loop is one goroutine; the client's callbacks are another.
type talker struct {
	party  *party
	random *rand.Rand
	fresh  chan struct{} // holds one: a new session is in no room
	client *client.Client

	mu  sync.Mutex // guards rec
	rec TalkerRecord
}

// enter logs in and joins the room. What fails is in the record.
func (t *talker) enter(ctx context.Context) {
	addrs := slices.Clone(t.party.o.Addrs)
	t.random.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	at := time.Now()
	for ctx.Err() == nil {
		o := t.party.dialer(client.Options{Name: t.rec.Name, CallTimeout: 15 * time.Second, BackoffMax: 500 * time.Millisecond,
			OnPush: t.pushed, OnGap: t.gap, OnConnect: t.connected, DialTimeout: 30 * time.Second})
		c, err := client.Dial(ctx, addrs, o)
		if err == nil {
			t.client = c
			t.party.login.add(time.Since(at))
			t.join(ctx)
			return
		}
	}
}

// join enters the room and notes where its stream is.
func (t *talker) join(ctx context.Context) bool {
	p, err := t.client.Join(ctx, t.rec.Room)
	if err != nil {
		return false
	}
	f := p.Fields()
	offset := uint64(f.IntOr("offset", 0))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Joined = true
	t.mark(Heard{Offset: offset, Start: true, At: time.Now()})
	return true
}

// mark notes that the stream begins anew for the talker at an offset. Pushes may have overtaken the answer that named it. The mutex is
// held.
func (t *talker) mark(m Heard) {
	i := len(t.rec.Heard)
	for i > 0 && !t.rec.Heard[i-1].Start && t.rec.Heard[i-1].Offset > m.Offset {
		i--
	}
	t.rec.Heard = slices.Insert(t.rec.Heard, i, m)
}

func (t *talker) pushed(p client.Push) {
	if p.Topic != t.rec.Room || p.Offset == 0 {
		return
	}
	f := p.Payload.Fields()
	from := f.Text("from")
	n, err := strconv.Atoi(f.Text("text"))
	if err != nil {
		n = -1 // the judge will tell
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Heard = append(t.rec.Heard, Heard{Offset: p.Offset, From: from, N: n, At: time.Now()})
}

func (t *talker) gap(g client.Gap) {
	if g.Topic != t.rec.Room {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Gaps = append(t.rec.Gaps, g)
}

func (t *talker) connected(w client.Connected) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Connections = append(t.rec.Connections, Connection{time.Now(), w.Node, w.Resumed, w.Missed})
	if w.Resumed && w.Missed[t.rec.Room] {
		t.rec.Heard = append(t.rec.Heard, Heard{Missed: true, At: time.Now()})
	}
	if !w.Resumed && len(t.rec.Connections) > 1 {
		select {
		case t.fresh <- struct{}{}:
		default:
		}
	}
}

// talk says one number after the other until stop is closed. The last one is seen through as long as ctx lives.
func (t *talker) talk(ctx context.Context, stop <-chan struct{}) {
	for n := 1; ctx.Err() == nil; n++ {
		last := closed(stop)
		if !t.say(ctx, n) || last {
			return
		}
		select {
		case <-time.After(rand64(t.random, 2*t.party.o.Pause)):
		case <-stop:
		}
	}
}

// say says a number until it is acknowledged. A number whose outcome is unknown is not said again: the next one is.
func (t *talker) say(ctx context.Context, n int) bool {
	s := Saying{N: n, Sent: time.Now()}
	for ctx.Err() == nil {
		if !t.present(ctx) {
			continue
		}
		p, err := t.client.Call(ctx, t.rec.Room, "say", game.NewMap().Text("text", strconv.Itoa(n)))
		code := outcome(err)
		if err == nil {
			f := p.Fields()
			s.Acknowledged, s.Offset, s.Done = true, uint64(f.Int("offset")), time.Now()
			t.party.calls.add(s.Done.Sub(s.Sent))
		}
		t.mu.Lock()
		t.rec.Codes[code]++
		if err == nil {
			t.rec.Said = append(t.rec.Said, s)
		}
		t.mu.Unlock()
		if err == nil {
			return true
		}
		if code == "forbidden" { // not in the room: a new session
			select {
			case t.fresh <- struct{}{}:
			default:
			}
		}
		waitUntil(ctx, time.Now().Add(20*time.Millisecond)) // unknown: the client has waited; a code: it has retried
		s.Repeated = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Said = append(t.rec.Said, s)
	return false
}

// present makes sure that the talker has a session that is in the room.
func (t *talker) present(ctx context.Context) bool {
	if t.client == nil || closed(t.client.Done()) {
		t.mu.Lock()
		if t.client != nil && t.client.Err() != nil {
			t.rec.Ended = append(t.rec.Ended, t.client.Err().Error())
		}
		t.mu.Unlock()
		t.enter(ctx)
		return t.client != nil && !closed(t.client.Done())
	}
	select {
	case <-t.fresh:
		if !t.join(ctx) {
			select {
			case t.fresh <- struct{}{}:
			default:
			}
			waitUntil(ctx, time.Now().Add(50*time.Millisecond))
			return false
		}
	default:
	}
	return true
}

// heardAll says whether the talker has heard the last acknowledged word of everybody in his room.
func (t *talker) heardAll() bool {
	last := map[string]int{}
	for _, other := range t.party.talkers {
		other.mu.Lock()
		if n := len(other.rec.Said); other.rec.Room == t.rec.Room && n > 0 && other.rec.Said[n-1].Acknowledged {
			last[other.rec.Name] = other.rec.Said[n-1].N
		}
		other.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range slices.Backward(t.rec.Heard) {
		if last[h.From] == h.N {
			delete(last, h.From)
		}
		if len(last) == 0 {
			return true
		}
	}
	return len(last) == 0
}

// leave ends the session and completes the record.
func (t *talker) leave() {
	if t.client == nil {
		return
	}
	s := t.client.Stats()
	_ = t.client.Close() // always nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Sessions += s.Sessions
	t.rec.Duplicates += s.Duplicates
}
