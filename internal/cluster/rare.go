package cluster

import (
	"log/slog"
	"sync"
	"time"
)

// rare logs what may come with every packet: once, then once in rareEvery for each kind, with the number left out.
type rare struct {
	log *slog.Logger

	mu    sync.Mutex // guards what follows
	kinds map[string]*rareKind
}

type rareKind struct {
	at      time.Time
	skipped int
}

const (
	rareEvery = 10 * time.Second
	rareKinds = 256
	restKind  = "" // of those that are too many
)

// due says whether to log something of a kind now, and how many were left out since the last.
func (r *rare) due(kind string) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds == nil {
		r.kinds = map[string]*rareKind{}
	}
	now := time.Now()
	k := r.kinds[kind]
	if k == nil && len(r.kinds) >= rareKinds {
		for name, old := range r.kinds {
			if now.Sub(old.at) >= rareEvery {
				delete(r.kinds, name)
			}
		}
		if len(r.kinds) >= rareKinds {
			kind = restKind
			k = r.kinds[kind]
		}
	}
	switch {
	case k == nil:
		r.kinds[kind] = &rareKind{at: now}
		return 0, true
	case now.Sub(k.at) < rareEvery:
		k.skipped++
		return 0, false
	}
	skipped, k.skipped, k.at = k.skipped, 0, now
	return skipped, true
}

func (r *rare) warn(kind, text string, args ...any) {
	if skipped, ok := r.due(kind); ok {
		if skipped > 0 {
			args = append(args, "left_out", skipped)
		}
		r.log.Warn(text, args...)
	}
}
