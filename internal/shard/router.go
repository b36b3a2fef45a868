package shard

import (
	"errors"
	"sync/atomic"

	"gamed/internal/envelope"
)

// Errors of the router. Nothing was done when one is returned.
var (
	ErrNoOwner = errors.New("nobody owns the partition")
	ErrNoLink  = errors.New("no link to the node")
	ErrBusy    = errors.New("the queue to the node is full")
)

// Mesh carries an envelope to another node: at most once, in order per node.
type Mesh interface {
	// Send queues a copy of e; ErrNoLink or ErrBusy otherwise.
	Send(to NodeID, e *envelope.Envelope) error
}

// Local is this node: its entities, and what else is addressed by node.
type Local interface {
	// Post gives an envelope to the entity named by its Key; it must copy what it keeps.
	Post(e *envelope.Envelope) error
	// Node gives an envelope that is for the node itself: connections, relays. from is the node it came from.
	Node(from NodeID, e *envelope.Envelope)
	// Refused answers an envelope that came from another node for an entity and could not be delivered.
	Refused(from NodeID, e *envelope.Envelope, why error)
}

// Router delivers here or sends one hop. Methods may be called from any goroutine and do not block.
//
// Order holds for calls from one goroutine with one key, as long as its owner stays the same. While a table spreads it may be
// lost: a message that met a node without the newer table comes back and is sent again, behind those that were sent to the right
// node meanwhile. Those that come back together keep their order among themselves.
type Router struct {
	self  NodeID
	table atomic.Pointer[Table]
	local Local
	mesh  Mesh
	retry retries
}

// NewRouter makes a router with an empty table.
func NewRouter(self NodeID, local Local, mesh Mesh) *Router {
	r := &Router{self: self, local: local, mesh: mesh}
	r.table.Store(Empty())
	r.retry.send = r.sendAgain
	r.retry.refuse = func(e *envelope.Envelope, why error) { local.Refused(self, e, why) }
	return r
}

// Self is this node.
func (r *Router) Self() NodeID { return r.self }

// Table is the table in force.
func (r *Router) Table() *Table { return r.table.Load() }

// Install puts a table in force.
func (r *Router) Install(t *Table) { r.table.Store(t) }

// Mine says whether this node owns the partition of key.
func (r *Router) Mine(key string) bool { return r.Owns(PartitionOf(key)) }

// Route sends e to the entity named by e.Key. It fills Part and Term.
func (r *Router) Route(e *envelope.Envelope) error {
	return r.route(e, PartitionOf(e.Key))
}

// RoutePart is Route for a caller that knows the partition of its key, so that it need not be computed again.
func (r *Router) RoutePart(e *envelope.Envelope, part uint16) error { return r.route(e, part) }

func (r *Router) sendAgain(e *envelope.Envelope) {
	if err := r.Route(e); err != nil {
		r.local.Refused(r.self, e, err)
	}
}

func (r *Router) route(e *envelope.Envelope, part uint16) error {
	t := r.table.Load()
	e.Part, e.Term = part, t.PartTerm[part]
	owner, ok := t.OwnerOf(part)
	if !ok {
		return ErrNoOwner
	}
	if owner == r.self {
		return r.local.Post(e)
	}
	return r.mesh.Send(owner, e)
}

// ToNode sends e to what a node itself holds: a connection, a relay.
func (r *Router) ToNode(n NodeID, e *envelope.Envelope) error {
	if n == r.self {
		r.local.Node(r.self, e)
		return nil
	}
	return r.mesh.Send(n, e)
}

// maxHops bounds how often a message is sent again by its origin.
const maxHops = 3

// Receive takes what came over the mesh. The receiver decides by its own table: what it does not own goes back to the
// node it came from, which routes it anew a little later, at most maxHops times.
func (r *Router) Receive(from NodeID, e *envelope.Envelope) {
	switch {
	case e.Kind == envelope.Moved:
		r.retry.add(e.Payload)
		return
	case !e.Kind.ToEntity():
		r.local.Node(from, e)
		return
	}
	if e.Node.IsZero() {
		e.Node = from // gateways leave it out
	}
	e.Part = PartitionOf(e.Key) // as bytes from outside may say anything
	if r.Owns(e.Part) {
		if err := r.local.Post(e); err != nil {
			r.local.Refused(from, e, err)
		}
		return
	}
	switch {
	case e.Kind == envelope.Acked:
		// It was for the entity that this node does not run any more; to its successor it means nothing.
	case e.Hops >= maxHops:
		r.local.Refused(from, e, ErrNoOwner)
	default:
		e.Hops++
		back := envelope.Envelope{Kind: envelope.Moved, Term: r.Table().Term, Payload: e.Append(nil)}
		_ = r.mesh.Send(from, &back) // the link went away: the caller's deadline tells it
	}
}

// Owns says whether this node owns the partition.
func (r *Router) Owns(part uint16) bool {
	owner, ok := r.Table().OwnerOf(part)
	return ok && owner == r.self
}

// Stray routes anew what a worker found in its mailbox for a partition that another node owns by now. It counts as a hop.
func (r *Router) Stray(e *envelope.Envelope) {
	if e.Kind == envelope.Acked {
		return
	}
	err := ErrNoOwner
	if e.Hops < maxHops {
		e.Hops++
		err = r.Route(e)
	}
	if err != nil {
		r.local.Refused(r.self, e, err)
	}
}

// Close gives up what waits to be sent again; it is refused. Nothing is sent again afterwards.
func (r *Router) Close() { r.retry.close() }
