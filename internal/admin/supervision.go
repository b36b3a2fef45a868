package admin

import (
	"context"
	"net/http"
	"time"
)

// Supervision is who watches whom: nodes, the workers of each, and the entities that a worker has put into quarantine.
type Supervision struct {
	Nodes []SupervisedNode `json:"nodes"`
}

// SupervisedNode is a node with its workers.
type SupervisedNode struct {
	Node        string              `json:"node"`
	Dispatch    string              `json:"dispatch,omitempty"`
	Entities    int                 `json:"entities"`
	DeadLetters uint64              `json:"dead_letters"` // ever
	Quarantines uint64              `json:"quarantines"`  // ever
	Workers     []SupervisedWorker  `json:"workers"`      // of those with one entity only such as are something to look at
	Quarantined []QuarantinedEntity `json:"quarantined"`
	Error       string              `json:"error,omitempty"` // the node did not answer
}

// SupervisedWorker is a worker as seen from outside.
type SupervisedWorker struct {
	Worker    string `json:"worker"`
	State     string `json:"state"` // fine, slow (from 100 ms on), stuck (1 s), blocked (10 s), resting (it died too often)
	Entities  int    `json:"entities"`
	Mailbox   int    `json:"mailbox"` // messages waiting
	Restarts  uint64 `json:"restarts"`
	Key       string `json:"key,omitempty"`  // of the entity that it is with for long
	What      string `json:"what,omitempty"` // kind, topic and event
	RunningMS int64  `json:"running_ms"`     // for how long
}

// QuarantinedEntity is left alone because it keeps panicking.
type QuarantinedEntity struct {
	Key    string `json:"key"`
	LeftMS int64  `json:"left_ms"`
}

// DeadLettersPage is the newest dead letters, the newest first.
type DeadLettersPage struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Total       uint64       `json:"total"` // ever, of the nodes that answered
	Errors      []string     `json:"errors,omitempty"`
}

// DeadLetter is a message whose handler panicked. Of its payload it has the size alone.
type DeadLetter struct {
	Time        time.Time  `json:"time"`
	Node        string     `json:"node"`
	Key         string     `json:"key"`
	What        string     `json:"what"`
	Bytes       int        `json:"bytes"` // of its payload
	Cause       string     `json:"cause"`
	Stack       string     `json:"stack,omitempty"`       // of the newest of each node
	Quarantined *time.Time `json:"quarantined,omitempty"` // until when the entity is in quarantine for it
}

func (s *Server) deadLetters(ctx context.Context, r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 1000)
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Source.DeadLetters(ctx, r.URL.Query().Get("node"), int(max(limit, 1)))
	page.DeadLetters = list(page.DeadLetters)
	return page, err
}
