package gametest

import (
	"sort"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// World is a small cluster without network: some games, the players and rooms that were spoken to, and a clock that stands still
// until [World.Advance]. It belongs to the goroutine of its test.
type World struct {
	t       testing.TB
	games   map[string]*game.Game
	now     time.Time
	seq     uint64
	queue   []func()
	events  map[uint64]event
	timers  map[timerID]uint64
	calls   map[uint64]*call
	parts   map[game.Address]*part
	rooms   map[string]*room
	players map[string]*Player
	tallies tallies
	panics  int
	ctx     game.Context

	fate       func(Delivery) Fate
	loseNotice func(player, event string) bool
	inVain     func(round string) (moved func(player string) bool, yes bool)
	storeDown  bool
}

// event is something that happens later.
type event struct {
	at time.Time
	do func()
}

type timerID struct {
	part game.Address
	name string
}

// maxSteps ends a run of messages that beget each other without end.
const maxSteps = 20_000_000

// New makes a world with these games. Two of one name, or one without a name, fail the test.
func New(t testing.TB, games ...game.Game) *World {
	t.Helper()
	w := &World{t: t, games: map[string]*game.Game{}, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		events: map[uint64]event{}, timers: map[timerID]uint64{}, calls: map[uint64]*call{},
		parts: map[game.Address]*part{}, rooms: map[string]*room{}, players: map[string]*Player{},
		tallies: tallies{rounds: map[string]*round{}}}
	for _, g := range games {
		if g.Name == "" || w.games[g.Name] != nil {
			t.Fatalf("gametest: a game needs a name of its own, got %q", g.Name)
		}
		w.games[g.Name] = &g
	}
	return w
}

// Now is the world's clock.
func (w *World) Now() time.Time { return w.now }

// Panics is how many handlers have panicked so far.
func (w *World) Panics() int { return w.panics }

// Advance lets d pass: timers fire and calls time out at their moments, in order.
func (w *World) Advance(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	w.settle()
	for w.fire(end) {
		w.settle()
	}
	w.now = end
}

// settle handles what is queued, and what that begets, timers that are due now included.
func (w *World) settle() {
	w.t.Helper()
	for steps := 0; len(w.queue) > 0 || w.fire(w.now); steps++ {
		if steps > maxSteps {
			w.t.Fatal("gametest: messages beget each other without end")
		}
		if len(w.queue) == 0 {
			continue
		}
		next := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		next()
	}
}

// fire moves the clock to the earliest event not after end and lets it happen. False: there is none.
func (w *World) fire(end time.Time) bool {
	var first uint64
	var best time.Time
	for seq, e := range w.events {
		if !e.at.After(end) && (first == 0 || e.at.Before(best) || e.at.Equal(best) && seq < first) {
			first, best = seq, e.at
		}
	}
	if first == 0 {
		return false
	}
	e := w.events[first]
	delete(w.events, first)
	if e.at.After(w.now) {
		w.now = e.at
	}
	e.do()
	return true
}

// after lets something happen later; among what happens at one moment the first asked for is the first.
func (w *World) after(d time.Duration, do func()) uint64 {
	w.seq++
	w.events[w.seq] = event{w.now.Add(max(d, 0)), do}
	return w.seq
}

func (w *World) setTimer(id timerID, d time.Duration) {
	w.cancelTimer(id)
	w.timers[id] = w.after(d, func() {
		delete(w.timers, id)
		w.timer(id)
	})
}

func (w *World) cancelTimer(id timerID) {
	delete(w.events, w.timers[id])
	delete(w.timers, id)
}

// Members are the players in a room, in the order they joined.
func (w *World) Members(topic string) []string {
	if r := w.rooms[topic]; r != nil {
		return append([]string(nil), r.order...)
	}
	return nil
}

// Timers names the timers a part has set, sorted.
func (w *World) Timers(part game.Address) []string {
	var names []string
	for id := range w.timers {
		if id.part == part {
			names = append(names, id.name)
		}
	}
	sort.Strings(names)
	return names
}

// State is a part's committed state: what it is made anew from. nil: it never called Changed.
func (w *World) State(part game.Address) []byte {
	if p := w.parts[part]; p != nil && p.kept {
		return append([]byte{}, p.committed...)
	}
	return nil
}

// Call calls an event of a part as another part would (not a client), and waits for the answer as [Player.Call] does.
func (w *World) Call(from, to game.Address, event string, payload any) (protocol.Code, game.Payload) {
	w.t.Helper()
	return w.Start(from, to, event, payload).Wait()
}

// Start begins a call of a part as another part would and does not wait.
func (w *World) Start(from, to game.Address, event string, payload any) *Pending {
	w.t.Helper()
	return w.begin(message{to: to, from: from, event: event, payload: w.encode(payload)}, game.CallTimeout)
}

// Topics that the player is a member of, sorted.
func (w *World) topicsOf(player string) []string {
	var topics []string
	for topic, r := range w.rooms {
		if r.Has(player) {
			topics = append(topics, topic)
		}
	}
	sort.Strings(topics)
	return topics
}
