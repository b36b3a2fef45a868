package player

import "gamed/protocol"

// OpenCalls is how many calls of a session may be open at a time.
const OpenCalls = 64

const (
	keptAnswers = 128 // answers a session keeps
	retryRefs   = 256 // refs answered with a retry code that stay open
)

// answers are the last answers of a session by ref. A pure structure.
type answers struct {
	ring    []answer // grows up to keptAnswers
	next    int      // where the next one goes once the ring is full
	highest uint64   // the highest ref used
	dropped uint64   // the highest ref dropped from the ring
	retry   []uint64 // refs answered with a retry code, in doubt or refused: never stale
}

type answer struct {
	ref   uint64
	frame []byte // the whole REPLY frame
}

// verdict is what is known of a ref.
type verdict uint8

const (
	refNew verdict = iota
	refKept
	refStale
)

// judge says what is known of a ref, with the first answer when it is kept.
func (a *answers) judge(ref uint64) (verdict, []byte) {
	if ref > a.highest {
		return refNew, nil
	}
	for i := range a.ring {
		if a.ring[i].ref == ref {
			return refKept, a.ring[i].frame
		}
	}
	if ref > a.dropped {
		return refNew, nil
	}
	for _, r := range a.retry {
		if r == ref {
			return refNew, nil
		}
	}
	return refStale, nil
}

// begun notes that a ref is in use.
func (a *answers) begun(ref uint64) { a.highest = max(a.highest, ref) }

// keep copies the answer to ref, and says which one it had to drop for it, 0 for none.
func (a *answers) keep(ref uint64, frame []byte) (dropped uint64) {
	a.forgetRetry(ref)
	if len(a.ring) < keptAnswers {
		if len(a.ring) == cap(a.ring) { // append would double; steps keep idle sessions small
			bigger := make([]answer, len(a.ring), min(keptAnswers, max(1, 2*cap(a.ring))))
			copy(bigger, a.ring)
			a.ring = bigger
		}
		a.ring = append(a.ring, answer{ref, append([]byte(nil), frame...)})
		return 0
	}
	slot := &a.ring[a.next]
	dropped = slot.ref
	a.dropped = max(a.dropped, dropped)
	slot.ref = ref
	slot.frame = append(slot.frame[:0], frame...)
	if cap(slot.frame) > 1024 && len(slot.frame) < 256 {
		slot.frame = append([]byte(nil), frame...)
	}
	a.next = (a.next + 1) % keptAnswers
	return dropped
}

// keepOpen notes that ref was answered with a retry code: it may come again at any time.
func (a *answers) keepOpen(ref uint64) {
	a.forgetRetry(ref)
	if len(a.retry) == retryRefs {
		a.retry = append(a.retry[:0], a.retry[1:]...)
	}
	a.retry = append(a.retry, ref)
}

func (a *answers) forgetRetry(ref uint64) {
	for i, r := range a.retry {
		if r == ref {
			a.retry = append(a.retry[:i], a.retry[i+1:]...)
			return
		}
	}
}

// normalize makes every kept answer readable for a binary client.
func (a *answers) normalize() {
	for i := range a.ring {
		r, ok := protocol.ParseReply(a.ring[i].frame[4:])
		if !ok || r.Status != protocol.CodeOK {
			continue
		}
		if _, tagged := protocol.TaggedJSON(r.Payload); !tagged {
			continue
		}
		if p, err := protocol.Normalize(r.Payload); err == nil {
			a.ring[i].frame = protocol.AppendReply(nil, r.Ref, p)
		}
	}
}

// last gives the most recently kept refs, newest last, at most n.
func (a *answers) last(n int) []uint64 {
	var refs []uint64
	for i := range a.ring {
		refs = append(refs, a.ring[(a.next+i)%len(a.ring)].ref)
	}
	return refs[max(0, len(refs)-n):]
}
