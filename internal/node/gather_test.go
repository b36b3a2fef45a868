package node

import "testing"

// What came in answer to one question is not taken for the answer to another.
func TestArrivalsAreCountedByQuestion(t *testing.T) {
	var a arrivals
	one, two := a.begin(), a.begin()
	a.count(one)
	a.count(two)
	a.count(two)
	a.count("")
	a.count("77")
	if n := a.end(one); n != 1 {
		t.Errorf("%d for the first", n)
	}
	a.count(one) // too late
	if n := a.end(two); n != 2 || len(a.came) != 0 {
		t.Errorf("%d for the second, left %v", n, a.came)
	}
}
