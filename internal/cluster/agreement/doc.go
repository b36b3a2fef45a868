// Package agreement is how the nodes of a cluster come to one table: who is a member, who makes the next table, which table is
// installed. It is a pure step machine: Step(now, event) → actions, with no goroutine, no clock and no I/O, so that it runs
// under a seeded simulator. One goroutine at a time may use a Machine.
//
// # Rules
//
//   - The nodes of a table stand in the order of their seniority. The first that is not gone is the coordinator, and only the
//     coordinator makes the next table, one term higher than every term it has heard of.
//   - A table replaces another only if its (term, coordinator) is larger. A node that hears of such a table fetches it before
//     it makes one itself.
//   - Lineage: a table names those that it follows. A node that serves takes only tables that it is in, and that follow its own
//     or take its side in. When two sides of a split meet, the coordinator of the larger table makes one table of both, which
//     names for each partition who has the other side's state; until it comes, the smaller side goes on with its own.
//   - Never from nothing: a partition that neither its owner nor its backup can serve is nobody's until one of them comes back
//     in the same life, or both are surely gone. A backup that is not known to have everything yet (see Filled) cannot serve as long
//     as the owner may live: he has what it has not. So it is with an owner to whom the partition was still on its way.
//   - A node enters the table only with a working mesh link to the coordinator. It leaves the table when it said so, or when
//     it is gone (see the method gone). A node whose link to us is down while another member still has one is not gone: one
//     dead link between two live nodes moves nothing.
//   - After a crash the next table only repairs: a lost partition goes to its backup, nothing else moves. A later table, made
//     from the periodic reconcile, then moves partitions to where placement wants them.
//   - A node that was lost is taken in again at once, but not twice within 10 s, and after two returns in a minute not within 20 s.
//     While one comes and goes nothing is moved for balance, but once a minute; nor is it while somebody is silent and nobody
//     vouches for him, for then it may be this node that is cut off.
//   - A partition's own term, the fencing token, becomes the table's term whenever its owner changes, and for all partitions
//     at once when a node says that it knows a token that contradicts the table, as after a split.
//   - Before the first table there is no seniority: the node with the lowest name among those that are linked makes it.
//   - A gap between two steps means that this process was paused. It believes nobody to be gone until it listened again, and has
//     no lease until the others have told it that its table still holds.
//   - Quorum: a lease needs a majority of the table's members to have answered within 3 s. Who makes a table needs a majority in
//     reach, that has the table before. A table that leaves out a node that may live is in force when that node's lease has
//     surely ended. docs/adr/0010 tells why it is the lease that waits, and not the table.
package agreement
