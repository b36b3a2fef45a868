package shard

import (
	"errors"
	"sync/atomic"
	"time"

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

// Router delivers here or sends one hop. Methods may be called from any goroutine; order holds for calls from one goroutine
// with one key, as long as its owner stays the same.
type Router struct {
	self  NodeID
	table atomic.Pointer[Table]
	local Local
	mesh  Mesh
}

// NewRouter makes a router with an empty table.
func NewRouter(self NodeID, local Local, mesh Mesh) *Router {
	r := &Router{self: self, local: local, mesh: mesh}
	r.table.Store(Empty())
	return r
}

// Self is this node.
func (r *Router) Self() NodeID { return r.self }

// Table is the table in force.
func (r *Router) Table() *Table { return r.table.Load() }

// Install puts a table in force.
func (r *Router) Install(t *Table) { r.table.Store(t) }

// Mine says whether this node owns the partition of key.
func (r *Router) Mine(key string) bool {
	owner, ok := r.Table().OwnerOf(PartitionOf(key))
	return ok && owner == r.self
}

// Route sends e to the entity named by e.Key. It fills Part and Term.
func (r *Router) Route(e *envelope.Envelope) error {
	return r.route(e, PartitionOf(e.Key))
}

// RoutePart is Route for a caller that knows the partition of its key.
func (r *Router) RoutePart(e *envelope.Envelope, part uint16) error { return r.route(e, part) }

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
// node it came from, which routes it anew by then, at most maxHops times.
func (r *Router) Receive(from NodeID, e *envelope.Envelope) {
	switch {
	case e.Kind == envelope.Moved:
		r.again(from, e)
	case !e.Kind.ToEntity():
		r.local.Node(from, e)
	default:
		if e.Node.IsZero() {
			e.Node = from // gateways leave it out
		}
		t := r.table.Load()
		owner, ok := t.OwnerOf(e.Part)
		if ok && owner == r.self {
			if err := r.local.Post(e); err != nil {
				r.local.Refused(from, e, err)
			}
			return
		}
		if e.Hops >= maxHops {
			r.local.Refused(from, e, ErrNoOwner)
			return
		}
		e.Hops++
		back := envelope.Envelope{Kind: envelope.Moved, Term: t.Term, Payload: e.Append(nil)}
		_ = r.mesh.Send(from, &back) // the link went away: the caller's deadline tells it
	}
}

// moveDelay is how long the origin waits for the newer table before it sends a message again.
const moveDelay = 50 * time.Millisecond

func (r *Router) again(from NodeID, moved *envelope.Envelope) {
	var e envelope.Envelope
	if err := e.Decode(append([]byte(nil), moved.Payload...)); err != nil || !e.Kind.ToEntity() {
		return
	}
	time.AfterFunc(time.Duration(e.Hops)*moveDelay, func() {
		if err := r.route(&e, PartitionOf(e.Key)); err != nil {
			r.local.Refused(r.self, &e, err)
		}
	})
}
