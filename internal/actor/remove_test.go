package actor

import (
	"errors"
	"slices"
	"testing"
)

func TestRemoveTakesOutAndFreesTheAllowance(t *testing.T) {
	m := NewMailbox[int]()
	for i := range PerReceiver {
		if err := m.Put(i, 7); err != nil {
			t.Fatal(err)
		}
	}
	_ = m.PutAlways(-1)
	if err := m.Put(0, 7); !errors.Is(err, ErrFull) {
		t.Fatalf("full: %v", err)
	}
	odd := m.Remove(func(i *int) bool { return *i%2 == 1 })
	if len(odd) != PerReceiver/2 || !slices.IsSorted(odd) {
		t.Fatalf("%d removed, in order: %v", len(odd), slices.IsSorted(odd))
	}
	for i := range PerReceiver / 2 {
		if err := m.Put(PerReceiver+2*i, 7); err != nil {
			t.Fatalf("after %d of what was freed: %v", i, err)
		}
	}
	if err := m.Put(0, 7); !errors.Is(err, ErrFull) {
		t.Fatalf("full again: %v", err)
	}
	batch, ok := m.Take(nil, nil)
	if !ok || len(batch) != PerReceiver+1 || batch[0] != 0 || batch[1] != 2 || batch[PerReceiver/2] != -1 {
		t.Fatalf("%d items: %v…", len(batch), batch[:4])
	}
}
