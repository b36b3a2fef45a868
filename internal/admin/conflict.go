package admin

import (
	"context"
	"net/http"
	"time"
)

// ConflictsPage is a part of the conflict log, the newest first.
type ConflictsPage struct {
	Conflicts []Conflict `json:"conflicts"`
	Dropped   uint64     `json:"dropped"`          // older ones that the logs had no room for
	Cursor    string     `json:"cursor"`           // of the next page, "" when this is the last
	Errors    []string   `json:"errors,omitempty"` // nodes that did not answer: their conflicts are missing
}

// Conflict is an entity that went on on both sides of a split, and of which one side's copy had to yield.
type Conflict struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"` // of the merge
	Key      string    `json:"key"`
	Node     string    `json:"node"`   // where it was merged, and where this is kept
	Winner   string    `json:"winner"` // the node that had the copy that stays
	Loser    string    `json:"loser"`  // the node that had the other
	Notes    []string  `json:"notes"`  // what could not be merged or had to be given up
	Bytes    int       `json:"bytes"`  // of both copies
	Replaced bool      `json:"replaced"`
}

// ConflictCopies is all that is kept of a conflict.
type ConflictCopies struct {
	Conflict
	Kept Copy `json:"kept"` // the winner's, as it was before the merge
	Lost Copy `json:"lost"`
}

// Copy is one side's copy of an entity. Ids of sessions are made unrecognizable.
type Copy struct {
	Spoke    *time.Time `json:"spoke,omitempty"` // when the client changed something last, if it did during the split
	Sections []Section  `json:"sections"`
}

// Section is a named part of an entity's state.
type Section struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	Value string `json:"value"`         // decoded, for people; cut when it is long
	Raw   []byte `json:"raw,omitempty"` // missing when the copy is too big to be sent
}

func (s *Server) conflicts(ctx context.Context, r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 1000)
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Source.Conflicts(ctx, r.URL.Query().Get("cursor"), int(max(limit, 1)))
	page.Conflicts = list(page.Conflicts)
	return page, err
}
