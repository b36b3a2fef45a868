package shard

import (
	"bytes"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// Delay is a message that keeps its worker for long.
type Delay struct {
	Worker string
	Level  actor.Level   // what it has come to; actor.Fine: it is over
	Was    actor.Level   // before
	Key    string        // the entity; "": none
	What   string        // kind, topic and event
	For    time.Duration // so far, or in all; it may be watchEvery more
	Stack  string        // of the worker, when it became slow; "" when another was taken within a second
}

// WorkerStatus is what is seen of a worker from outside, without asking it.
type WorkerStatus struct {
	Name      string
	Entities  int
	Waiting   int // messages in its mailbox
	Restarts  uint64
	Refusing  bool // callers are told that it is busy
	Level     actor.Level
	Key, What string        // of the message that it is with for long
	For       time.Duration // how long
}

// How often the watchdog looks at up to lookAt workers, and how often it takes a stack, which costs some milliseconds.
const (
	watchEvery = 20 * time.Millisecond
	lookAt     = 256
	stackEvery = time.Second
)

// watchdog looks at all workers from outside. What they run costs them nothing but the claims that they make anyway.
//
// It has a clock of its own, which does not go on while the process is stopped or has no processor: that is no handler's fault.
type watchdog struct {
	clock time.Time
	stack time.Time // when the last one was taken
	round uint64

	mu   sync.Mutex // guards seen
	seen map[*Worker]*sight
}

// sight is a worker that is at something.
type sight struct {
	actor.Watch
	level     actor.Level
	lasted    time.Duration
	key, what string
	refused   time.Time
	round     uint64 // of the last look
}

// watch looks until the workers are closed.
func (d *watchdog) watch(ws *Workers) {
	d.seen = map[*Worker]*sight{}
	every, last := watchEvery, time.Now()
	d.clock = last
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ws.stop:
			return
		case <-timer.C:
		}
		now := time.Now()
		d.advance(now.Sub(last), every)
		last = now
		all := ws.all()
		d.round++
		for _, w := range all {
			d.look(d.clock, w)
		}
		d.mu.Lock()
		maps.DeleteFunc(d.seen, func(_ *Worker, s *sight) bool { return s.round != d.round }) // it has ended
		d.mu.Unlock()
		every = watchEvery * time.Duration(1+len(all)/lookAt)
		timer.Reset(every)
	}
}

// advance moves the clock on by what has passed since the last looks, which were to be so far apart.
func (d *watchdog) advance(passed, every time.Duration) {
	d.clock = d.clock.Add(min(passed, 4*every))
}

// all are the workers of this moment.
func (ws *Workers) all() []*Worker {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	list := slices.Clone(ws.workers)
	for _, w := range ws.own {
		list = append(list, w)
	}
	return list
}

// look judges one worker, and does and tells what follows.
func (d *watchdog) look(now time.Time, w *Worker) {
	at, resting := w.claims.step()
	d.mu.Lock()
	s := d.seen[w]
	if s == nil {
		if resting {
			d.mu.Unlock()
			return
		}
		s = &sight{}
		d.seen[w] = s
	}
	s.round = d.round
	lasted, was, level := s.Look(now, at, resting)
	s.lasted, s.level = lasted, level
	if resting {
		delete(d.seen, w)
	}
	d.mu.Unlock()
	switch {
	case level > was:
		d.rise(now, w, s, at, was)
	case level < was:
		if was >= actor.Stuck {
			w.refusing.Store(false)
		}
		d.tell(w, s, was, lasted, "")
	}
	if level >= actor.Stuck && now.Sub(s.refused) >= sweepStuck {
		s.refused = now
		w.refuseWaiting()
	}
}

// rise does what a level asks for.
func (d *watchdog) rise(now time.Time, w *Worker, s *sight, at uint64, was actor.Level) {
	if s.level >= actor.Stuck {
		w.refusing.Store(true)
	}
	found := w.interrupt(at, s.level)
	d.mu.Lock()
	s.key, s.what = found.key, found.what
	d.mu.Unlock()
	if found.late != nil {
		w.all.refuse(found.late, ErrNoOwner)
	}
	for i := range found.behind {
		w.all.refuse(&found.behind[i].env, actor.ErrFull)
		found.behind[i].free()
	}
	stack := ""
	if was == actor.Fine && (d.stack.IsZero() || now.Sub(d.stack) >= stackEvery) {
		d.stack, stack = now, stackOf(w.label())
	}
	d.tell(w, s, was, s.lasted, stack)
}

func (d *watchdog) tell(w *Worker, s *sight, was actor.Level, lasted time.Duration, stack string) {
	if f := w.all.opt.Delayed; f != nil {
		f(Delay{Worker: w.all.nameOf(w), Level: s.level, Was: was, Key: s.key, What: s.what, For: lasted, Stack: stack})
	}
}

// interrupted is what a worker was at.
type interrupted struct {
	key, what string
	late      *envelope.Envelope // its message, when somebody has waited for too long
	behind    []item             // taken out of its batch: somebody waits for each
}

// interrupt says what the worker is with. From actor.Stuck on what is behind it is taken from the worker; when it has come to
// actor.Blocked, who waits for what it is with is to be told to ask again.
func (w *Worker) interrupt(at uint64, level actor.Level) (found interrupted) {
	w.claims.stop(at, func(running *item, rest []item) {
		switch s := w.waking.Load(); {
		case running != nil && running.fn != nil:
			found.what = "task"
		case running != nil:
			e := running.env
			e.Key, e.Payload = strings.Clone(e.Key), slices.Clone(e.Payload)
			found.key, found.what = e.Key, fmt.Sprintf("%v %s %s", e.Kind, e.Topic, e.Event)
			if level == actor.Blocked && awaited(e.Kind) {
				found.late = &e
			}
		case s != nil:
			found.key, found.what = s.key, "wake"
		}
		if level < actor.Stuck {
			return
		}
		for i := range rest {
			if it := &rest[i]; it.buf != nil && awaited(it.env.Kind) {
				found.behind = append(found.behind, *it)
				*it = item{}
			}
		}
	})
	return found
}

// stackOf is the stack of the worker with a label, as profiles show it; "" when it is not found.
func stackOf(label string) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return ""
	}
	mark := fmt.Sprintf("# labels: {%q:%q}", workerLabel, label)
	for one := range strings.SplitSeq(all.String(), "\n\n") {
		_, stack, found := strings.Cut(one, mark+"\n")
		if found && strings.Contains(stack, ".supervise+") {
			return stack
		}
	}
	return ""
}

// maxOwn is how many workers of one entity Status shows.
const maxOwn = 100

// Status is what is seen of the workers from outside: it does not wait for any. Of workers with one entity it shows those that
// are something to look at.
func (ws *Workers) Status() (list []WorkerStatus) {
	own := 0
	for i, w := range ws.all() {
		st := WorkerStatus{Name: ws.nameOf(w), Entities: int(w.count.Load()), Waiting: w.box.Len(), Restarts: w.restarts.Load(), Refusing: w.refusing.Load()}
		ws.dog.mu.Lock()
		if s := ws.dog.seen[w]; s != nil && s.level > actor.Fine {
			st.Level, st.Key, st.What, st.For = s.level, s.key, s.what, s.lasted
		}
		ws.dog.mu.Unlock()
		if i >= len(ws.workers) {
			if st.Level == actor.Fine && st.Restarts == 0 && !st.Refusing || own >= maxOwn {
				continue
			}
			own++
		}
		list = append(list, st)
	}
	return list
}
