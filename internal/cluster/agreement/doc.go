// Package agreement is how the nodes of a cluster come to one table: who is a member, who makes the next table, which table is
// installed. It is a pure step machine: Step(now, event) → actions, with no goroutine, no clock and no I/O, so that it runs
// under a seeded simulator. One goroutine at a time may use a Machine.
//
// # Rules
//
//   - The nodes of a table stand in the order of their seniority. The first that is not gone is the coordinator, and only the
//     coordinator makes the next table, one term higher than every term it has heard of.
//   - A table replaces another only if its (term, coordinator) is larger. A node that hears of such a table fetches it before
//     it makes one itself. So two clusters that meet become one: the nodes of the side with the smaller table take the other
//     one, do not find themselves in it, and wait for its coordinator to take them in.
//   - A node enters the table only with a working mesh link to the coordinator. It leaves the table when it said so, or when
//     it is gone (see the method gone). A node whose link to us is down while another member still has one is not gone: one
//     dead link between two live nodes moves nothing.
//   - After a crash the next table only repairs: a lost partition goes to its backup, nothing else moves. A later table, made
//     from the periodic reconcile, then moves partitions to where placement wants them.
//   - A partition's own term, the fencing token, becomes the table's term whenever its owner changes, and for all partitions
//     at once when a node says that it knows a token that contradicts the table, as after a split.
//   - Before the first table there is no seniority: the node with the lowest name among those that are linked makes it.
//   - A gap between two steps means that this process was paused. It believes nobody to be gone until it listened again.
package agreement
