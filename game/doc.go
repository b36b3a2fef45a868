// Package game is what a game author writes against.
//
// A [Game] is registered under a name and owns the topics "name:*". It has up to two parts, and that split is the point:
//
//   - the player part ([Player]) runs inside each player's own entity, in parallel over all workers and nodes. What belongs to
//     one player (answers, balance, inventory) lives there;
//   - the room part ([Room]) runs in the room's home, one message at a time on one node. Only what is shared lives there.
//
// A client's call goes to the player part when the game has one, else straight to the room. Between the two parts travel
// calls ([Context.Call], [Context.Forward]), notices ([Context.Notify]: room → player parts of all members) and tallies
// ([Context.Tally], [Context.Collect]: player parts → room, exact).
//
// # Rules
//
// Handlers run one at a time per entity and must not block: no sleeping, no I/O, no locks shared with other goroutines. What
// a handler does through its Context takes effect when it returns; if it panics nothing of it happens, the caller gets
// "internal", and the entity goes on from its last committed state. A handler that changed what [Player.Snapshot] gives must
// call [Context.Changed], or the change is not committed.
//
// # Test
//
// Package game/gametest runs a game without sockets under a fake clock.
package game
