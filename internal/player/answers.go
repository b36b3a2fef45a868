package player

import (
	"cmp"
	"slices"

	"gamed/protocol"
)

// OpenCalls is how many calls of a session may be open at a time.
const OpenCalls = 64

const (
	keptAnswers = 128 // answers a session keeps
	retryRefs   = 256 // refs answered with a retry code that stay open
	maxForget   = 64  // recorded answers that were dropped: more are told to the backup at once
)

// answers are the last answers of a session by ref. A pure structure.
type answers struct {
	ring    []answer // grows up to keptAnswers
	next    int      // where the next one goes once the ring is full
	order   uint64   // of the answer kept last
	highest uint64   // the highest ref used
	dropped uint64   // the highest ref dropped from the ring
	retry   []uint64 // refs answered with a retry code, in doubt or refused: never stale
	forget  []uint64 // dropped ones that the backup still has
}

type answer struct {
	ref   uint64
	order uint64
	frame []byte // the whole REPLY frame
	saved bool   // the backup has it
}

// verdict is what is known of a ref.
type verdict uint8

const (
	refNew verdict = iota
	refKept
	refStale
)

// judge says what is known of a ref that is not open, with the first answer when it is kept.
func (a *answers) judge(ref uint64) (verdict, []byte) {
	if ref > a.highest {
		return refNew, nil
	}
	for i := range a.ring {
		if a.ring[i].ref == ref {
			return refKept, a.ring[i].frame
		}
	}
	if ref > a.dropped || slices.Contains(a.retry, ref) {
		return refNew, nil
	}
	return refStale, nil
}

// begun notes that a ref is in use.
func (a *answers) begun(ref uint64) { a.highest = max(a.highest, ref) }

// keep copies the answer to ref, in the place of the oldest one when there are enough.
func (a *answers) keep(ref uint64, frame []byte) *answer {
	a.forgetRetry(ref)
	a.order++
	if len(a.ring) < keptAnswers {
		if len(a.ring) == cap(a.ring) { // append would double; steps keep idle sessions small
			bigger := make([]answer, len(a.ring), min(keptAnswers, max(1, 2*cap(a.ring))))
			copy(bigger, a.ring)
			a.ring = bigger
		}
		a.ring = append(a.ring, answer{ref: ref, order: a.order, frame: append([]byte(nil), frame...)})
		return &a.ring[len(a.ring)-1]
	}
	slot := &a.ring[a.next]
	a.next = (a.next + 1) % keptAnswers
	a.dropped = max(a.dropped, slot.ref)
	if slot.saved {
		a.forget = append(a.forget, slot.ref)
	}
	old := slot.frame
	if cap(old) > 1024 && len(frame) < 256 {
		old = nil
	}
	*slot = answer{ref: ref, order: a.order, frame: append(old[:0], frame...)}
	return slot
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
	if i := slices.Index(a.retry, ref); i >= 0 {
		a.retry = slices.Delete(a.retry, i, i+1)
	}
}

// restore takes answers back that were kept, in any order.
func (a *answers) restore(list []answer) {
	slices.SortFunc(list, func(x, y answer) int { return cmp.Compare(x.order, y.order) })
	if extra := len(list) - keptAnswers; extra > 0 {
		for _, old := range list[:extra] {
			a.dropped = max(a.dropped, old.ref)
		}
		list = list[extra:]
	}
	a.ring, a.next = list, 0
	for _, k := range list {
		a.order = max(a.order, k.order)
		a.highest = max(a.highest, k.ref)
	}
}

// normalize makes every kept answer readable for a binary client.
func (a *answers) normalize() {
	for i := range a.ring {
		r, ok := protocol.ParseReply(a.ring[i].frame[protocol.LengthSize:])
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
