// Package cluster makes a node part of a cluster: it finds the other nodes by gossip (memberlist), holds links to all of them
// (package mesh), and agrees with them on the table that says who owns each partition (package agreement).
//
// # What decides what
//
// Gossip finds nodes and says who may be dead. The mesh says who can be talked to. Only the agreement moves anything: a node is
// in the table when the table's coordinator has a working link to it. Types of memberlist stay inside this package.
//
// # Goroutines
//
// Run owns all of them. One goroutine, the loop, owns the state: the members known and the agreement's machine. Everything else
// (memberlist's callbacks, which run under its lock; the mesh's readers) puts what it heard into the inbox, which keeps only the
// latest of each kind for each node and so never blocks and never grows beyond the number of nodes. The loop publishes
// immutable views: Table, Members and Ready read them from any goroutine without a lock. OnTable and OnEvent are called by the
// loop, Receive by the mesh's reader of a peer and lane; none of them may block.
//
// # Identity
//
// A node is known by its name and its boot id, random at each start; its name in gossip has both, because memberlist tells
// nobody of a quick restart under the same name. Of two live nodes of one name the one that came second ends with ErrDuplicate;
// a node of whose name the cluster has a newer life, as after a long pause, ends with ErrReplaced.
//
// # Simulation
//
// Tests named Sim run whole clusters of real shells, with real memberlist and mesh, in synctest bubbles over a network in memory
// (simnet_test.go, simconn_test.go), which takes the place of the machine's through Options.network.
//
// # Debugging
//
// Ready says why a node does not serve; gamed_cluster_* metrics give the table's term and the members by state; a log line is
// written for every member that comes, goes or is refused, and for every table. Cut and Kill make faults.
package cluster
