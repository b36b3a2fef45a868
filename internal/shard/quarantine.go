package shard

import (
	"errors"
	"maps"
	"strings"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// ErrQuarantined refuses a message for an entity that keeps panicking.
var ErrQuarantined = errors.New("quarantined after repeated failures")

// maxFallen bounds the entities of one worker whose panics are remembered.
const maxFallen = 4096

// fell notes that an entity panicked.
func (w *Worker) fell(key, what string, size int, cause any) {
	q := w.fallen[key]
	if q == nil {
		if len(w.fallen) >= maxFallen {
			w.pardon()
		}
		q = &actor.Quarantine{}
		if len(w.fallen) < maxFallen {
			if w.fallen == nil {
				w.fallen = map[string]*actor.Quarantine{}
			}
			w.fallen[strings.Clone(key)] = q
		}
	}
	l := actor.DeadLetter{Key: key, What: what, Size: size}
	if q.Panicked(w.now) {
		l.Banned = q.Until()
	}
	w.dead(l, cause)
}

// pardon forgets those that have been well for long.
func (w *Worker) pardon() {
	maps.DeleteFunc(w.fallen, func(_ string, q *actor.Quarantine) bool { return q.Over(w.now) })
}

// bannedUntil is when the quarantine of an entity ends, or ended.
func (w *Worker) bannedUntil(key string) (until time.Time) {
	if q := w.fallen[key]; q != nil {
		return q.Until()
	}
	return until
}

// turnAway tells the sender of a message, if he waits for an answer, that there will be none.
func (w *Worker) turnAway(e *envelope.Envelope, why error) {
	if f := w.all.opt.Refuse; f != nil && e.Kind != envelope.Acked {
		w.task(func(*Worker) { f(e, why) })
	}
}

// wake wakes an entity, or has one in quarantine woken when that ends.
func (w *Worker) wake(s *slot) {
	if len(w.fallen) > 0 {
		if until := w.bannedUntil(s.key); until.After(w.now) {
			w.wakes.set(s, until)
			return
		}
	}
	w.waking.Store(s)
	w.enter(s, "wake", func() { s.entity.Wake(w) })
	w.waking.Store(nil)
}

// revive makes an entity that panicked anew from its whole state: a move to itself. One in quarantine is woken when that ends.
func (w *Worker) revive(s *slot) {
	if s.gone {
		return
	}
	anew := s
	if sections, ok := w.leave(s); ok {
		if anew = nil; sections != nil {
			anew = w.restore(s.key, sections)
		}
	}
	if until := w.bannedUntil(s.key); anew != nil && !anew.gone && until.After(w.now) {
		w.wakes.set(anew, until)
	}
}
