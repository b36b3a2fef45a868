package simulation

import (
	"errors"
	"slices"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// checker stands outside the cluster: it knows what clients sent and were told, and looks at the nodes only where a promise can be
// broken without a client noticing at once.
type checker struct {
	w       *world
	ops     []*operation // by number, from 1
	byRef   [][]*operation
	sums    []int64 // acknowledged puts, by entity
	puts    []int64 // all puts begun
	done    int     // answered
	maxTerm map[string]acknowledged
	tables  map[tableName]uint64 // hashes
	newest  uint64               // term

	refused, stale, merged, conflicts, forked int
}

// tableName is what may be given to one table only.
type tableName struct {
	term uint64
	by   shard.NodeID
}

// acknowledged is who told a client something of an entity last, by which fencing token.
type acknowledged struct {
	term uint64
	by   *node
	at   time.Duration
}

func (k *checker) init(w *world) {
	k.w = w
	k.sums, k.puts = make([]int64, w.set.entities), make([]int64, w.set.entities)
	k.maxTerm, k.tables = map[string]acknowledged{}, map[tableName]uint64{}
}

func (k *checker) began(o *operation) {
	c := o.client
	k.ops = append(k.ops, o)
	for len(k.byRef) <= c.number {
		k.byRef = append(k.byRef, nil)
	}
	k.byRef[c.number] = append(k.byRef[c.number], o)
	o.least = k.sums[c.entity]
	if o.kind == opPut {
		k.puts[c.entity] += o.amount
	}
}

// op is what a client calls by a ref.
func (k *checker) op(c *client, ref uint64) *operation { return k.byRef[c.number][ref-1] }

// amountOf is mergeAccounts' question.
func (k *checker) amountOf(number uint64) (int64, bool) {
	o := k.ops[number-1]
	return o.amount, o.withID
}

// answered judges an answer as its client got it.
func (k *checker) answered(o *operation, payload []byte) {
	w := k.w
	cur := protocol.NewCursor(payload)
	_, ok1 := cur.Array()
	balance, ok2 := cur.Int()
	if !ok1 || !ok2 {
		w.fail("%s: malformed answer %x", o, payload)
		return
	}
	o.answered = true
	k.done++
	if w.tracing {
		w.logf("client %d: %s answered, balance %d", o.client.number, o, balance)
	}
	e := o.client.entity
	least := o.least
	if o.kind == opPut {
		k.sums[e] += o.amount
		least += o.amount
	}
	if w.set.linear() && balance < least {
		w.fail("%s was told the balance %d, but %d had been acknowledged before it began", o, balance, least)
	}
	if balance > k.puts[e] && !w.set.forks {
		w.fail("%s was told the balance %d, but only %d was ever put there", o, balance, k.puts[e])
	}
}

// twice judges an answer to a call that is not open.
func (k *checker) twice(c *client, ref uint64) {
	if int(ref) > len(k.byRef[c.number]) {
		k.w.fail("client %d was answered ref %d, which it never used", c.number, ref)
	}
}

// told is called when a node lets an answer for a client out.
func (k *checker) told(n *node, key string, term uint64) {
	w := k.w
	was := k.maxTerm[key]
	switch {
	case term == was.term && was.by != nil && was.by != n && !w.set.forks:
		w.fail("%s was acknowledged by %s and by %s, both by the token %d", key, was.by, n, term)
	case w.set.quorum && term < was.term:
		w.fail("%s was acknowledged by %s by the token %d at %v, after %s by the token %d at %v", key, n, term, w.now, was.by, was.term, was.at)
	}
	if term >= was.term {
		k.maxTerm[key] = acknowledged{term, n, w.now}
	}
}

// heard judges the order of what one entity says to another.
func (k *checker) heard(x *entity, h heard) {
	w := k.w
	if w.set.forks {
		return
	}
	for i := len(x.log) - 1; i >= 0; i-- {
		if x.log[i].from != h.from {
			continue
		}
		if last := x.log[i].num; h.num <= last {
			w.fail("%s on %s heard word %d of %s after word %d", x.key, x.n, h.num, h.from, last)
		}
		return
	}
}

// installed judges a table that a node puts in force: it is larger than the one before, and the only one of its name.
func (k *checker) installed(n *node, t *shard.Table) {
	old := n.router.Table()
	if t.Term > k.newest {
		k.newest = t.Term
		for _, c := range k.w.clients {
			if !c.done && k.w.chance(0.4) {
				c.hurry()
			}
		}
	}
	if !t.Newer(old) {
		k.w.fail("%s installs the table %d of %s over %d of %s", n, t.Term, t.Coordinator, old.Term, old.Coordinator)
	}
	name := tableName{term: t.Term}
	for _, id := range t.Nodes {
		if id.Name == t.Coordinator {
			name.by = id // an earlier life of it may have forgotten its term
		}
	}
	if hash, ok := k.tables[name]; ok && hash != t.Hash {
		k.w.fail("%s made two tables of the term %d", t.Coordinator, t.Term)
	}
	k.tables[name] = t.Hash
}

// emptied is told of partitions that begin anew with nothing. No run of the simulator kills owner and backup at once.
func (k *checker) emptied(n *node, a agreement.Emptied) {
	k.w.fail("%s places %d partitions anew, empty: %v had them", n, a.Partitions, a.Nodes)
}

// lost is told of words that could not be delivered. A full queue, or no link, costs a cast: nobody waits for it.
func (k *checker) lost(n *node, e *envelope.Envelope, why error) {
	if errors.Is(why, shard.ErrBusy) || errors.Is(why, shard.ErrNoLink) {
		k.ops[e.Ref-1].excused = true
	}
	if k.w.tracing {
		k.w.logf("%s: word %d of %s to %s is lost: %v", n, e.Offset, e.From, e.Key, why)
	}
}

// judge is called at the end, when all is healed and every call was answered: it compares what entities have with what was
// acknowledged.
func (k *checker) judge() {
	w := k.w
	for e, key := range w.set.keys {
		x := w.running(key)
		if x == nil && k.puts[e] > 0 {
			w.fail("%s: nobody runs it, though %d was put there", key, k.sums[e])
			return
		}
		if x == nil {
			continue
		}
		want := int64(0)
		for _, o := range k.ops {
			if o.kind != opPut || o.client.entity != e {
				continue
			}
			// What has no id may have been done on both sides of a split, when it was sent again: never more often than that.
			n, most := x.acct.times(o.number), int64(1)
			if w.set.forks && !o.withID {
				most = o.runs
			}
			if n < 1 || n > most {
				w.fail("%s: applied %d times on %s, done %d times", o, n, x.n, o.runs)
				return
			}
			want += n * o.amount
		}
		if x.acct.balance != want {
			w.fail("%s has %d on %s, not %d: %v", key, x.acct.balance, x.n, want, x.acct.done)
			return
		}
		if w.set.calm() {
			k.complete(x)
		}
	}
}

// complete wants every word that was said to have been heard: no node died.
func (k *checker) complete(x *entity) {
	for _, o := range k.ops {
		if o.kind == opTell && o.to == x.key && !o.excused && !slices.ContainsFunc(x.log, func(h heard) bool { return h.op == o.number }) {
			k.w.fail("%s: %s never heard of it, and no node died", o, x.key)
			return
		}
	}
}
