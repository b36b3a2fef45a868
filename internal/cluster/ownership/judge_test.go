package ownership

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// judge says what is wrong in the end: one node runs the entity; what was acknowledged is there, once; of each sender in order.
func (w *world) judge() (wrong []string) {
	var owners []string
	for _, n := range w.alive() {
		if s := w.nodes[n]; s.entity != nil && s.Runs(part) {
			owners = append(owners, n)
		}
	}
	if len(owners) != 1 {
		return []string{fmt.Sprintf("the entity runs at %v", owners)}
	}
	list := w.nodes[owners[0]].entity
	for _, ref := range w.needed {
		if !slices.Contains(w.acked, ref) {
			wrong = append(wrong, fmt.Sprintf("%d is not acknowledged in the end", ref))
		}
	}
	for _, ref := range w.acked {
		if !slices.Contains(list, ref) {
			wrong = append(wrong, fmt.Sprintf("%d was acknowledged and is lost", ref))
		}
	}
	last := map[uint64]uint64{} // by sender: the hundreds of a ref
	seen := map[uint64]bool{}
	for _, ref := range list {
		if seen[ref] {
			wrong = append(wrong, fmt.Sprintf("%d was done twice", ref))
		}
		seen[ref] = true
		if ref < last[ref/100] {
			wrong = append(wrong, fmt.Sprintf("%d came after %d", ref, last[ref/100]))
		}
		last[ref/100] = max(last[ref/100], ref)
	}
	for _, n := range w.names {
		for term, times := range w.nodes[n].merged {
			if times > 1 {
				wrong = append(wrong, fmt.Sprintf("%s merged the copies of term %d %d times", n, term, times))
			}
		}
	}
	for _, n := range w.alive() {
		if held, _ := w.nodes[n].Held(); held > 0 {
			wrong = append(wrong, fmt.Sprintf("%s still holds %d messages", n, held))
		}
	}
	return wrong
}

// pass lets time go by, in ticks.
func (w *world) pass(d time.Duration, choose func(n int) int) {
	for end := w.now + d; w.now < end; w.now += 500 * time.Millisecond {
		for _, n := range w.alive() {
			w.nodes[n].do(Tick{})
		}
		w.run(choose)
	}
}

func (w *world) state() string {
	out := fmt.Sprintf("acked %v, failed %v", w.acked, w.failed)
	for _, n := range w.names {
		s := w.nodes[n]
		out += fmt.Sprintf("\n%s: dead %v, table %d, runs %v, entity %v, copies %v, asides %v; %s", n, s.dead, s.Table().Term, s.Runs(part), s.entity, s.copies, slices.Collect(maps.Keys(s.asides)), s.Describe(part))
	}
	return out
}
