// Package gametest runs games without sockets, nodes or waiting: players, rooms, timers, tallies and calls between parts live in
// one [World] under a fake clock.
//
//	func TestGreet(t *testing.T) {
//		w := gametest.New(t, greet.Game())
//		ann, bob := w.Player("ann"), w.Player("bob")
//		ann.OK("greet:hall", "join", nil)
//		bob.OK("greet:hall", "join", nil)
//		ann.OK("greet:hall", "wave", game.NewMap().Int("times", 2))
//		if p := bob.Push("waved"); p.Int("times") != 2 {
//			t.Errorf("bob saw %s", p)
//		}
//		w.Advance(time.Minute) // timers fire in their order
//	}
//
// # What it enforces
//
// After every message a part is thrown away and made anew from its last committed state. So a change without
// [game.Context.Changed], a field forgotten in Snapshot, and anything kept outside the part show in the first test that looks.
// A handler that changes what Snapshot gives without saying so, or uses a timer, a call or a collect without the ability to hear
// of it, fails the test. Payloads and snapshots are overwritten as soon as the handler returns, so bytes kept without Clone
// show as well. A handler that panics costs its message: the caller gets "internal", and nothing of what it did remains.
//
// # What it promises
//
// Messages are handled one at a time, in the order they were sent; every run of the same test does the same. A World belongs to
// one test goroutine. Faults ([World.Faults], [World.StoreDown], [World.LoseNotices], [World.Crash]) are added on purpose by the test.
package gametest
