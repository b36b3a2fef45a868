package agreement

import (
	"time"

	"gamed/internal/shard"
)

// Position says which table a node has.
type Position struct {
	Term        uint64
	Coordinator string
	Hash        uint64
}

// PositionOf is the position of a node that has t installed.
func PositionOf(t *shard.Table) Position {
	return Position{Term: t.Term, Coordinator: t.Coordinator, Hash: t.Hash}
}

// newer is shard.Table.Newer for positions.
func (p Position) newer(q Position) bool {
	if p.Term != q.Term {
		return p.Term > q.Term
	}
	return p.Coordinator > q.Coordinator
}

// conflicts says that two nodes gave the same (term, coordinator) to different tables: lives of one node that forgot its term.
func (p Position) conflicts(q Position) bool {
	return p.Term == q.Term && p.Coordinator == q.Coordinator && p.Hash != q.Hash
}

// Event is something that happened to a node. The types below are all there are.
type Event interface{ event() }

// Tick says that time passed. Give one at least as often as Machine.Wake asks.
type Tick struct{}

// Seen says that gossip knows a live node. It alone moves nothing.
type Seen struct {
	ID       shard.NodeID
	Draining bool
}

// Lost says that gossip declared a node dead.
type Lost struct{ ID shard.NodeID }

// LinkUp says that the mesh link to a node works in both directions.
type LinkUp struct{ ID shard.NodeID }

// LinkDown says that the link to a node does not work any more.
type LinkDown struct {
	ID     shard.NodeID
	Closed bool          // the other end was closed or reset, rather than silent
	Silent time.Duration // how long nothing had been heard when the link was given up
}

// Refused says that a node's mesh port refused a connection: nobody listens there. It counts while the node's link is closed.
type Refused struct{ ID shard.NodeID }

// Report is what a linked node says of itself, with the link's hello, each heartbeat, and each answer to one of ours. Machine.Report
// makes it.
type Report struct {
	From      shard.NodeID
	Position  Position
	Member    bool          // it is in that table
	Ahead     uint64        // hash of a newer table of that lineage that it knows and is not in; 0: none. It backs no lease under Position then
	Contested bool          // the table has a fencing token below one that this node knows, or the same for another owner
	InForce   bool          // quorum: a majority has the table, and the leases of those it left out have ended
	Fence     time.Duration // quorum: how long leases may still run that it backed, of nodes that its table left out
	Filled    shard.PartSet // whose backups, by the table of Position, are known to have everything
	Links     []uint64      // boot ids of the nodes it has working links to
	Draining  bool
	Sent      time.Duration // when we sent the heartbeat that this answers, on the clock of Step; 0: it answers none
}

// Received says that a table came. The shell has checked that it is well formed.
type Received struct {
	From  shard.NodeID
	Table *shard.Table
}

// Asked says that a node wants our table.
type Asked struct{ From shard.NodeID }

// Left says that a node takes its leave for good; nothing of this life will come again.
type Left struct{ ID shard.NodeID }

// Filled says that backups have everything: of these partitions, which this node owns by the table with this hash, every entity
// has a complete copy on the backup, and no change is acknowledged before it is there too. That holds until the table names
// another owner or backup.
type Filled struct {
	Table uint64
	Parts shard.PartSet
}

// Drain says whether this node wants to own nothing.
type Drain struct{ On bool }

// Leave says that this node takes its leave: it takes no further part.
type Leave struct{}

// Forget says that an operator gives up a node that is missing: what only it had is gone. Tell it to all nodes; the coordinator
// acts on it. It does nothing to a node that is there.
type Forget struct{ Name string }

func (Tick) event()     {}
func (Seen) event()     {}
func (Lost) event()     {}
func (LinkUp) event()   {}
func (LinkDown) event() {}
func (Refused) event()  {}
func (Report) event()   {}
func (Received) event() {}
func (Asked) event()    {}
func (Left) event()     {}
func (Filled) event()   {}
func (Drain) event()    {}
func (Leave) event()    {}
func (Forget) event()   {}

// Action is something the shell must do, in the order given.
type Action interface{ action() }

// Install makes a table this node's. Its (term, coordinator) is larger than of any installed before.
type Install struct{ Table *shard.Table }

// Send gives a node the table. It may be lost.
type Send struct {
	To    shard.NodeID
	Table *shard.Table
}

// Fetch asks a node for its table. It may be lost.
type Fetch struct{ To shard.NodeID }

// Replaced says that the cluster has another life of this node: this one has to end.
type Replaced struct{ By shard.NodeID }

// Lease says until when, on the clock of Step, this node may act as an owner: handle messages, let effects leave. It may be
// shorter than the one before. Without a word there is none.
type Lease struct{ Until time.Duration }

// Probe asks for a heartbeat to all linked nodes now: this process was paused, and knows less than they.
type Probe struct{}

// Absorbed says that this node made a table (installed by the action before) that takes in the other side of a split.
type Absorbed struct{ Rival *shard.Table }

// Emptied says that this node made a table that places partitions anew, empty: all who had their state are surely gone.
type Emptied struct {
	Partitions int
	Nodes      []shard.NodeID // who had it last
}

// Partial says that this node made a table that gives partitions to backups which may not have everything, because those who had
// it are surely gone. The new owners ask everybody for copies.
type Partial struct {
	Partitions int
	Nodes      []shard.NodeID // who had everything
}

// Forgotten says that a table made by this node no longer waits for a missing node, as Forget wanted.
type Forgotten struct{ ID shard.NodeID }

// Refuse says that what a node sent is impossible and was ignored.
type Refuse struct {
	From shard.NodeID
	Why  string
}

func (Install) action()   {}
func (Send) action()      {}
func (Fetch) action()     {}
func (Replaced) action()  {}
func (Lease) action()     {}
func (Probe) action()     {}
func (Absorbed) action()  {}
func (Emptied) action()   {}
func (Partial) action()   {}
func (Forgotten) action() {}
func (Refuse) action()    {}
