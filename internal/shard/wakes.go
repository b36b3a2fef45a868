package shard

import (
	"container/heap"
	"time"
)

// wakeHeap is the slots of one worker that are to be woken, each once, the earliest first.
type wakeHeap []*slot

// set has a slot woken at this time, if it was not to be woken earlier.
func (h *wakeHeap) set(s *slot, at time.Time) {
	switch {
	case s.heap == 0:
		s.wakeAt = at
		heap.Push(h, s)
	case at.Before(s.wakeAt):
		s.wakeAt = at
		heap.Fix(h, s.heap-1)
	}
}

// due takes out the earliest slot if its time has come; else nil.
func (h *wakeHeap) due(now time.Time) *slot {
	if len(*h) == 0 || (*h)[0].wakeAt.After(now) {
		return nil
	}
	return heap.Pop(h).(*slot)
}

// remove takes a slot out, if it is in.
func (h *wakeHeap) remove(s *slot) {
	if s.heap != 0 {
		heap.Remove(h, s.heap-1)
	}
}

func (h wakeHeap) Len() int           { return len(h) }
func (h wakeHeap) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }
func (h wakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i+1, j+1
}
func (h *wakeHeap) Push(x any) {
	s := x.(*slot)
	*h = append(*h, s)
	s.heap = len(*h)
}
func (h *wakeHeap) Pop() any {
	old := *h
	n := len(old) - 1
	s := old[n]
	old[n] = nil
	*h = old[:n]
	s.heap = 0
	return s
}
