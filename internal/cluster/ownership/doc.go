// Package ownership is what one node makes of the tables it installs: which partitions it runs, which are on their way to it or
// away from it, who is to be followed, what is held meanwhile, and what is merged after a split. It is a pure step machine:
// Step(now, event) → actions, with no goroutine, no clock, no I/O and no lock, so that it runs under a seeded simulator. The shell
// around it gives it one event at a time and does what it says, in order.
//
// # A planned move of a partition from A to B
//
//   - Every node, when its workers have turned to the new table, says so to all others on the lane of the messages (Mark).
//   - A drops the partition's entities and sends their state (Give). What still comes for them it passes on to B (Pass). When all of
//     their state is sent and the marks of all have come, nobody follows the old table any more, and A says so (Say).
//   - B holds what comes (no action, or Refuse when too much is held) until A's word, makes the entities of what came (Activate),
//     and lets in first what came by way of A, then what came to it directly (Let). So messages of one sender to one receiver keep
//     their order, whichever way they took.
//   - A node that does not mark within markWait is not followed any more: what it still sends to A by the old table is refused
//     (Refuse with Late), so that it cannot be overtaken by what it sends by the new one.
//   - A keeps its copies. When B dies before it was active the next owner asks everybody for copies (Gather, SendCopies); those of
//     the latest owner win, by the token it ran them with.
//
// # A table that does not follow the one before
//
// After a split the two sides become one by a table that follows the tables of one side only. A node of the other side gives what it
// ran to the owner as rival copies (Give with Rival). The owner goes on running what it has, but lets nothing in until the
// rival copies have come, or are lost, and are merged (Activate with Merge). Rival copies never mix with the copies of
// partitions: they are kept by the term of the table that heals, and merged once.
package ownership
