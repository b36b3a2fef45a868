package ownership

import (
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// Event is something that happened to a node. The types below are all there are.
type Event interface{ event() }

// Tick says that time passed. Give one every 100 ms or so.
type Tick struct{}

// Install says that a table, larger than the one before, is to be put in force.
type Install struct{ Table *shard.Table }

// Released says that all workers have let go of what the table of this term, and those before it, took from this node.
type Released struct{ Term uint64 }

// Message is a message for an entity. It is valid only during the step: what is held is copied.
type Message struct {
	From shard.NodeID // zero: this node itself
	Env  *envelope.Envelope
}

// Notice is a room's notice for all members on this node. It is valid only during the step.
type Notice struct{ Env *envelope.Envelope }

// Marked says that a node follows the table of this term.
type Marked struct {
	From shard.NodeID
	Term uint64
}

// Sent says that all entities of a partition are on their way, as a Give asked for.
type Sent struct {
	Part   uint16
	Term   uint64
	Pieces int // how many it took
}

// Copy is an entity's state that came from a node, or a piece of it.
type Copy struct {
	From  shard.NodeID
	Asked bool // it answers a Gather; Origin is of rival copies only
	Origin
}

// Word says that everything of a partition was sent (Say, at the other end).
type Word struct {
	From shard.NodeID
	Origin
	Pieces int // how many Copy events there must have been: some may be lost with a link, and the word come over the next one
}

// Origin says what is given, by whom.
type Origin struct {
	Part    uint16
	Term    uint64 // of the partition, in the table by which it is given
	Token   uint64 // the term under which the giver had it
	Follows uint64 // the hash of the giver's table before: who had it by the very table before the receiver's had all of it
	Rival   bool   // it ran on the other side of a split
}

// Gathered says that the nodes asked by a Gather have answered, but for those named.
type Gathered struct {
	Round  uint64
	Silent []shard.NodeID
}

// Asked says that a node wants copies: its Gather.
type Asked struct {
	Ref   uint64 // given back with SendCopies
	Term  uint64 // of the asker's table
	Table uint64 // its hash
}

// Active says that an Activate is done.
type Active struct {
	Part  uint16
	Round uint64
}

func (Tick) event()     {}
func (Install) event()  {}
func (Released) event() {}
func (Message) event()  {}
func (Notice) event()   {}
func (Marked) event()   {}
func (Sent) event()     {}
func (Copy) event()     {}
func (Word) event()     {}
func (Gathered) event() {}
func (Asked) event()    {}
func (Active) event()   {}

// Action is something the shell must do, in the order given, before it takes the next event of the same source. Those marked "later"
// may be done by another goroutine.
type Action interface{ action() }

// PutInForce has the router follow a table. The workers drop the entities of partitions that this node does not run (Machine.Runs),
// and keep copies of them, for the Give if there is one; Released follows.
type PutInForce struct{ Table *shard.Table }

// Give (later): what this node ran of a partition goes to another; Sent follows, also when it failed.
type Give struct {
	To shard.NodeID
	Origin
	Round  uint64 // the term of the table that says so: its Released comes before anything is sent
	Copies bool   // no entity runs here: copies are passed on, and stay
	Aside  uint64 // those that were set aside, or came as rival ones, for this term; 0: the partition's copies
}

// Say gives the word, behind all that was sent or passed before: everything of the partition was given.
type Say struct {
	To shard.NodeID
	Origin
	Pieces int
}

// Mark (later) tells nodes that this one follows a table, behind all messages sent before.
type Mark struct {
	To   []shard.NodeID
	Term uint64
}

// SetAside takes a backup's copies out of the way of the partition's owner, as rival copies for this term.
type SetAside struct {
	Part uint16
	Term uint64
	Fork bool // nobody ran these after their owner, who may live: note where they were, as with Activate
}

// Retire says that other nodes own and back up partitions: copies are kept for a while only.
type Retire struct{ Parts []uint16 }

// Hold says that nobody owns partitions, or that this node is their backup anew: copies stay.
type Hold struct{ Parts []uint16 }

// Keep says that the copy which the event brought is to be kept: with the partition's copies, or with the rival ones of its term.
type Keep struct {
	Rival bool
	Pass  bool // it is for another node: nothing is to be fenced by it
}

// Stale says that the event was of an earlier table, came twice or makes no sense, and is left out. It is to be counted.
type Stale struct{ What string }

// Receive says that nothing holds the message: it goes its way, by the router.
type Receive struct {
	From shard.NodeID
	Env  *envelope.Envelope
}

// Let gives a message that was held to its entity, which runs here.
type Let struct {
	From shard.NodeID
	Env  *envelope.Envelope
}

// Pass sends a message on to the new owner.
type Pass struct {
	To  shard.NodeID
	Env *envelope.Envelope
}

// Why a message is refused.
type Why uint8

// The reasons.
const (
	Full    Why = iota // too much is held: busy
	NoOwner            // it waited too long
	Late               // its sender does not follow the table: it could overtake what that one sends otherwise
)

// Refuse answers a message that is not delivered. From zero: this node itself sent it.
type Refuse struct {
	From shard.NodeID
	Env  *envelope.Envelope
	Why  Why
}

// Gather (later) asks all other nodes of the table for copies of partitions; Gathered follows.
type Gather struct {
	Round uint64
	Term  uint64 // of the table
	Table uint64 // its hash: who is of another side of a split does not answer
	Parts []uint16
	Aside uint64 // those set aside for this term; 0: the partitions' copies
}

// SendCopies (later) answers an Asked.
type SendCopies struct{ Ref uint64 }

// Activate (later) makes the entities of a partition from its copies, or merges rival copies into those that run, or both; Active
// follows. It must not be done when Machine.Wants says no any more.
type Activate struct {
	Part  uint16
	Round uint64
	Take  bool     // make entities from the copies; otherwise they run already
	Fork  bool     // the owner before may live on the other side of a split: note where the copies were
	Merge []uint64 // rival copies of these terms
}

// Tell gives a notice to the members who have not heard it.
type Tell struct{ Env *envelope.Envelope }

func (PutInForce) action() {}
func (Give) action()       {}
func (Say) action()        {}
func (Mark) action()       {}
func (SetAside) action()   {}
func (Retire) action()     {}
func (Hold) action()       {}
func (Keep) action()       {}
func (Stale) action()      {}
func (Receive) action()    {}
func (Let) action()        {}
func (Pass) action()       {}
func (Refuse) action()     {}
func (Gather) action()     {}
func (SendCopies) action() {}
func (Activate) action()   {}
func (Tell) action()       {}

// Times and bounds of what is held.
const (
	HeldFor    = 4 * time.Second  // a message is held so long, then its sender is told that nobody answers
	AwaitedFor = 8 * time.Second  // copies are asked for when nothing came from who has to give a partition for so long
	AnybodyFor = 3 * time.Second  // the same when nobody is known who has to
	PassedFor  = time.Minute      // what comes of a partition that belongs to another by now is passed on so long
	MarkWait   = 5 * time.Second  // a node that does not mark is waited for so long
	MarkAgain  = 2 * time.Second  // how often a node says again which table it follows
	EarlyFor   = HeldFor          // a message ahead of the table waits so long for it
	Recently   = 30 * time.Second // after a move the copies of who had the partition before are asked for so long
	HealFor    = time.Minute      // rival copies are merged so long after the table that heals

	MaxHeld         = 1024 // messages of one partition
	MaxHeldBytes    = 1 << 20
	MaxAllHeld      = 1 << 16 // messages of all partitions, and those ahead of the table
	MaxAllHeldBytes = 64 << 20
	MaxEarly        = 4096
	MaxEarlyBytes   = 8 << 20
	MaxNotices      = 256
	MaxAsked        = 256
)

// askTries is how often nodes that do not answer are asked for copies.
const askTries = 3

// TermsAhead is how far a term may be ahead of the table's: beyond it, it was never given.
const TermsAhead = 1 << 32
