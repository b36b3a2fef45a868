package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"gamed/internal/admin"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// peers asks other nodes what the admin port wants to know, and answers them. Requests and answers are small JSON documents:
// they are for operators and not on any hot path.
type peers struct {
	n *Node

	mu   sync.Mutex // guards what follows
	next uint64
	open map[uint64]chan answer
}

type answer struct {
	Error string          `json:"error,omitempty"`
	Kind  string          `json:"kind,omitempty"` // which of admin's errors
	Body  json.RawMessage `json:"body,omitempty"`
}

// maxQueries bounds the questions of others worked on at a time, and ours.
const maxQueries = 256

func newPeers(n *Node) *peers { return &peers{n: n, open: map[uint64]chan answer{}} }

// ask puts a question to a node, which may be this one, and decodes the answer into out.
func (p *peers) ask(ctx context.Context, to shard.NodeID, what string, arg string, out any) error {
	if to == p.n.router.Self() {
		return p.result(p.answer(ctx, what, arg), out)
	}
	ch := make(chan answer, 1)
	p.mu.Lock()
	if len(p.open) >= maxQueries {
		p.mu.Unlock()
		return fmt.Errorf("%w: too many questions are open", admin.ErrUnavailable)
	}
	p.next++
	ref := p.next
	p.open[ref] = ch
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, ref)
		p.mu.Unlock()
	}()
	e := envelope.Envelope{Kind: envelope.Query, Ref: ref, Event: what, Payload: []byte(arg)}
	if err := p.n.router.ToNode(to, &e); err != nil {
		return fmt.Errorf("%w: node %s: %w", admin.ErrUnavailable, to.Name, err)
	}
	select {
	case a := <-ch:
		return p.result(a, out)
	case <-ctx.Done():
		return fmt.Errorf("%w: node %s did not answer", admin.ErrUnavailable, to.Name)
	}
}

func (p *peers) result(a answer, out any) error {
	if a.Error != "" {
		for _, k := range kinds {
			if k.Error() == a.Kind {
				return fmt.Errorf("%w: %s", k, strings.TrimPrefix(a.Error, a.Kind+": "))
			}
		}
		return errors.New(a.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("answer of a node: %w", err)
	}
	return nil
}

var kinds = []error{admin.ErrNotFound, admin.ErrInvalid, admin.ErrConflict, admin.ErrUnavailable}

// answer works on a question about this node.
func (p *peers) answer(ctx context.Context, what, arg string) answer {
	v, err := p.n.query(ctx, what, arg)
	if err == nil {
		var body []byte
		if body, err = json.Marshal(v); err == nil {
			return answer{Body: body}
		}
	}
	a := answer{Error: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k) {
			a.Kind = k.Error()
		}
	}
	return a
}

// serve answers a question of another node. It is called on the link's goroutine and does the work elsewhere.
func (p *peers) serve(from envelope.NodeID, e *envelope.Envelope) {
	ref, what, arg := e.Ref, e.Event, string(e.Payload)
	select {
	case p.n.serving <- struct{}{}:
	default:
		return // it times out there
	}
	p.n.wg.Go(func() {
		defer func() { <-p.n.serving }()
		limit := queryTimeout
		if what == askingCopies {
			limit = copiesMax
		}
		ctx, cancel := context.WithTimeout(p.n.ctx, limit)
		defer cancel()
		b, err := json.Marshal(p.answer(ctx, what, arg))
		if err != nil {
			return
		}
		_ = p.n.router.ToNode(from, &envelope.Envelope{Kind: envelope.Answer, Ref: ref, Payload: b}) // it times out there
	})
}

func (p *peers) answered(e *envelope.Envelope) {
	var a answer
	if err := json.Unmarshal(e.Payload, &a); err != nil {
		a.Error = "malformed answer: " + err.Error()
	}
	p.mu.Lock()
	ch := p.open[e.Ref]
	p.mu.Unlock()
	if ch != nil {
		select {
		case ch <- a:
		default:
		}
	}
}
