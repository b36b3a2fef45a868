package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/admin"
	"gamed/internal/cluster"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
)

// conflicts keeps what had to yield in merges on this node, bounded, and tells people what the merges did.
type conflicts struct {
	mu      sync.Mutex // guards what follows
	seq     uint64
	kept    []conflict // oldest first
	bytes   int
	dropped uint64
	healing heal

	total, merged prometheus.Counter
}

type conflict struct {
	seq  uint64
	row  admin.Conflict
	kept state.Sections
	lost state.Sections
}

// heal is what the merges of one healed split did together.
type heal struct {
	from, last                   time.Time // zero: none is under way
	entities, conflicts, session int
}

// Bounds of the log.
const (
	maxConflicts     = 1000
	maxConflictBytes = 64 << 20
	toldConflicts    = 20          // of one heal that are an event of their own
	healedAfter      = time.Second // without another merge a heal is over
)

func newConflicts(reg prometheus.Registerer) *conflicts {
	c := &conflicts{
		total: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Name: "conflicts_total",
			Help: "Entities merged on this node that both sides of a split had changed."}),
		merged: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Name: "merged_total",
			Help: "Entities of which this node merged two copies after a split."}),
	}
	reg.MustRegister(c.total, c.merged, prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Name: "conflicts_dropped_total",
		Help: "Conflicts that the log of this node had no more room for."}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.dropped)
	}))
	return c
}

// add notes one merge on node self: mine is whose copy merge.Mine is, theirs whose the other. It gives the conflict's id, "" when there is none;
// told says that people should hear of it at once, first that a heal begins.
func (c *conflicts) add(now time.Time, self, key, mine, theirs string, m *merge.Merged) (id string, told, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.merged.Inc()
	h := &c.healing
	if first = h.from.IsZero(); first {
		*h = heal{from: now}
	}
	h.last = now
	h.entities++
	h.session += m.Replaced
	if !m.Conflict {
		return "", false, first
	}
	h.conflicts++
	c.total.Inc()
	c.seq++
	row := admin.Conflict{ID: strconv.FormatUint(c.seq, 10) + "-" + self, Time: now, Key: key, Node: self, Winner: mine, Loser: theirs,
		Notes: append([]string{}, m.Notes...), Bytes: size(m.Kept) + size(m.Loser), Replaced: m.Replaced > 0}
	if m.Winner == merge.Theirs {
		row.Winner, row.Loser = theirs, mine
	}
	c.kept = append(c.kept, conflict{c.seq, row, m.Kept, m.Loser})
	c.bytes += row.Bytes
	for len(c.kept) > maxConflicts || c.bytes > maxConflictBytes {
		c.bytes -= c.kept[0].row.Bytes
		c.kept = slices.Delete(c.kept, 0, 1)
		c.dropped++
	}
	return row.ID, h.conflicts <= toldConflicts, first
}

func size(s state.Sections) (n int) {
	for name, b := range s {
		n += len(name) + len(b)
	}
	return n
}

// over ends a heal when nothing was merged for a while, and gives what it did. left is how long to wait before it is asked again.
func (c *conflicts) over(now time.Time) (h heal, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left = c.healing.last.Add(healedAfter).Sub(now); left > 0 {
		return h, left
	}
	h, c.healing = c.healing, heal{}
	return h, 0
}

func (h *heal) String() string {
	return fmt.Sprintf("%d players and rooms merged after a split, %d of them changed on both sides, %d sessions replaced, in %v",
		h.entities, h.conflicts, h.session, h.last.Sub(h.from).Round(time.Millisecond))
}

// page gives at most limit rows before a place, newest first.
func (c *conflicts) page(before place, limit int) admin.ConflictsPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := admin.ConflictsPage{Conflicts: []admin.Conflict{}, Dropped: c.dropped}
	for i := len(c.kept) - 1; i >= 0 && len(page.Conflicts) < limit; i-- {
		if row := c.kept[i].row; placeOf(&row).less(before) {
			page.Conflicts = append(page.Conflicts, row)
		}
	}
	return page
}

// place is where a row stands among those of all nodes. The zero place is before none.
type place struct {
	at int64 // Unix nanoseconds
	id string
}

func placeOf(row *admin.Conflict) place { return place{row.Time.UnixNano(), row.ID} }

func (p place) less(q place) bool {
	return q == place{} || cmp.Or(cmp.Compare(p.at, q.at), strings.Compare(p.id, q.id)) < 0
}

func (p place) String() string { return strconv.FormatInt(p.at, 36) + "." + p.id }

func parsePlace(cursor string) (p place, err error) {
	if cursor == "" {
		return p, nil
	}
	at, id, _ := strings.Cut(cursor, ".")
	n, err := strconv.ParseInt(at, 36, 64)
	if err != nil || id == "" {
		return p, fmt.Errorf("%w: cursor", admin.ErrInvalid)
	}
	return place{n, id}, nil
}

func (c *conflicts) find(id string) (admin.ConflictCopies, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.kept {
		if k.row.ID == id {
			return admin.ConflictCopies{Conflict: k.row, Kept: shown(k.kept), Lost: shown(k.lost)}, nil
		}
	}
	return admin.ConflictCopies{}, fmt.Errorf("%w: no conflict %q is kept", admin.ErrNotFound, id)
}

// merged tells what the merge of an entity did, and its clients that have to come again.
func (n *Node) merged(key string, part uint16, m *merge.Merged) {
	for _, s := range m.Close {
		e := s.Envelope()
		_ = n.router.ToNode(s.Node, &e) // its gateway is gone, and the socket with it
	}
	theirs := "the other side" // of a split that healed several tables ago
	if rival, ok := n.router.Table().RivalOf(part); ok {
		theirs = rival.Name
	}
	self := n.router.Self().Name
	id, told, first := n.conflicts.add(time.Now(), self, key, self, theirs, m)
	if told {
		text := fmt.Sprintf("%s was changed on %s and on %s; conflict %s", key, self, theirs, id)
		if len(m.Notes) > 0 {
			text += ": " + strings.Join(m.Notes, "; ")
		}
		n.events.add("conflict", self, text)
		n.log.Warn("an entity was changed on both sides of a split", "key", key, "mine", self, "theirs", theirs, "winner", m.Winner, "conflict", id, "notes", m.Notes)
	}
	if first {
		n.wg.Go(n.tellHealed)
	}
}

// tellHealed tells what a heal did when it is over.
func (n *Node) tellHealed() {
	wait := healedAfter
	for wait > 0 {
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(wait):
		}
		var h heal
		if h, wait = n.conflicts.over(time.Now()); wait <= 0 {
			n.events.add("merged", n.router.Self().Name, h.String())
			n.log.Info("a split is healed", "entities", h.entities, "conflicts", h.conflicts, "sessions_replaced", h.session, "took", h.last.Sub(h.from))
		}
	}
}

// Conflicts implements admin.Source. The cursor is the place of the last row shown.
func (s source) Conflicts(ctx context.Context, cursor string, limit int) (admin.ConflictsPage, error) {
	if _, err := parsePlace(cursor); err != nil {
		return admin.ConflictsPage{}, err
	}
	nodes := s.n.router.Table().Nodes
	pages := make([]admin.ConflictsPage, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, queryTimeout)
			defer cancel()
			if err := s.n.peers.ask(ctx, n, "conflicts", strconv.Itoa(limit)+" "+cursor, &pages[i]); err != nil {
				pages[i].Errors = []string{n.Name + ": " + err.Error()}
			}
		})
	}
	wg.Wait()
	return joinConflicts(pages, limit), nil
}

func joinConflicts(pages []admin.ConflictsPage, limit int) admin.ConflictsPage {
	out := admin.ConflictsPage{Conflicts: []admin.Conflict{}}
	for _, p := range pages {
		out.Conflicts = append(out.Conflicts, p.Conflicts...)
		out.Errors = append(out.Errors, p.Errors...)
		out.Dropped += p.Dropped
	}
	slices.SortFunc(out.Conflicts, func(a, b admin.Conflict) int {
		if placeOf(&a).less(placeOf(&b)) {
			return 1
		}
		return -1
	})
	if len(out.Conflicts) > limit {
		out.Conflicts = out.Conflicts[:limit]
		out.Cursor = placeOf(&out.Conflicts[limit-1]).String()
	}
	return out
}

// conflictsPage answers the question "conflicts": one row more than the limit tells that there are more.
func (n *Node) conflictsPage(arg string) (admin.ConflictsPage, error) {
	first, cursor, _ := strings.Cut(arg, " ")
	limit, err := strconv.Atoi(first)
	before, perr := parsePlace(cursor)
	if err != nil || perr != nil || limit < 1 {
		return admin.ConflictsPage{}, fmt.Errorf("%w: limit or cursor", admin.ErrInvalid)
	}
	return n.conflicts.page(before, limit+1), nil
}

// Conflict implements admin.Source. Its id names the node that keeps it.
func (s source) Conflict(ctx context.Context, id string) (out admin.ConflictCopies, err error) {
	_, name, ok := strings.Cut(id, "-")
	if !ok {
		return out, fmt.Errorf("%w: id %q: want NUMBER-NODE, as gamed conflicts shows them", admin.ErrInvalid, id)
	}
	for _, n := range s.n.router.Table().Nodes {
		if n.Name == name {
			err = s.n.peers.ask(ctx, n, "conflict", id, &out)
			return out, err
		}
	}
	return out, fmt.Errorf("%w: no live node is called %q", admin.ErrNotFound, name)
}

// Forget implements admin.Source.
func (s source) Forget(ctx context.Context, node string) error {
	err := s.n.cluster.Forget(ctx, node)
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	case errors.Is(err, cluster.ErrLive):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	case err != nil:
		return fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	return nil
}
