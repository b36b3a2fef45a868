package room

import (
	"fmt"
	"testing"
)

// A crowd that talks does not make the room grow without bound: the oldest calls of all are forgotten first.
func TestRememberedCallsOfACrowdAreBounded(t *testing.T) {
	var r roster
	r.begin(nil)
	const members = 2000
	for i := range members {
		r.add(&member{name: fmt.Sprint(i), session: "s"})
	}
	gone := map[uint64]bool{}
	order := uint64(0)
	const each = 40 // calls of a member
	for range each {
		for i := range members {
			order++
			m := r.byName[fmt.Sprint(i)]
			k := answered{name: m.name, session: "s", ref: order, order: order}
			m.recent = append(m.recent, k)
			if old, ok := r.took(&k); ok {
				gone[old.order] = true
			}
			if i == 7 {
				r.drop(m) // and comes again, without its calls
				r.add(&member{name: m.name, session: "s"})
			}
		}
	}
	kept := 0
	for _, m := range r.byName {
		for _, k := range m.recent {
			if kept++; k.order <= order-allCalls || gone[k.order] {
				t.Fatalf("call %d of %d is remembered", k.order, order)
			}
		}
	}
	if want := allCalls - allCalls/members; kept < want-1 || kept > allCalls || len(r.turns) != allCalls {
		t.Fatalf("%d calls are remembered, want %d", kept, want)
	}
}
