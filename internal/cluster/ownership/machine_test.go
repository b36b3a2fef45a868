package ownership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

const part = 7 // the partition that tests move

func id(name string) shard.NodeID { return shard.NodeID{Name: name, Boot: uint64(name[0])} }

// tableOf makes a table that follows another: the test's partition has an owner and a backup, the others have none.
func tableOf(old *shard.Table, term uint64, owner, backup string, nodes ...string) *shard.Table {
	t := shard.Empty()
	t.Term, t.Coordinator = term, nodes[0]
	for _, n := range nodes {
		t.Nodes = append(t.Nodes, id(n))
	}
	if old.Term > 0 {
		t.History = append([]uint64{old.Hash}, old.History...)
	}
	t.Owner[part], t.Backup[part] = index(nodes, owner), index(nodes, backup)
	if t.PartTerm[part] = old.PartTerm[part]; ownerName(old) != owner {
		t.PartTerm[part] = term
	}
	return t.Seal()
}

func ownerName(t *shard.Table) string {
	o, _ := t.OwnerOf(part)
	return o.Name
}

func index(nodes []string, name string) uint16 {
	if i := slices.Index(nodes, name); i >= 0 {
		return uint16(i)
	}
	return shard.None
}

func call(ref, term uint64) *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Call, Part: part, Key: "chat/a", Ref: ref, Term: term, Payload: []byte{1}}
}

// passed is a message that comes by way of the owner before.
func passed(ref, term uint64) *envelope.Envelope {
	e := call(ref, term)
	e.Flags = envelope.FlagPassed
	return e
}

// rig drives one machine and looks at what it does with one partition.
type rig struct {
	t *testing.T
	*Machine
	at time.Duration
}

func newRig(t *testing.T, self string) *rig {
	return &rig{t: t, Machine: New(id(self)), at: time.Second}
}

// step gives the actions that are of the test's partition, or of none.
func (r *rig) step(ev Event) (acts []Action) {
	_, tick := ev.(Tick)
	for _, a := range r.Step(r.at, ev) {
		if _, again := a.(Mark); ofPart(a) && !(tick && again) {
			acts = append(acts, a)
		}
	}
	return acts
}

func TestAMarkThatWasLostIsMadeGood(t *testing.T) {
	r := moving(t)
	r.at += MarkAgain - 1
	if acts := r.Step(r.at, Tick{}); slices.ContainsFunc(acts, func(a Action) bool { _, ok := a.(Mark); return ok }) {
		t.Fatalf("too soon: %+v", acts)
	}
	for range 3 {
		r.at += MarkAgain
		if m := find[Mark](r, r.Step(r.at, Tick{})); len(m.To) != 2 || m.Term != 2 {
			t.Fatalf("%+v", m)
		}
	}
}

func ofPart(a Action) bool {
	switch a := a.(type) {
	case Give:
		return a.Part == part
	case Say:
		return a.Part == part
	case Activate:
		return a.Part == part
	case SetAside:
		return a.Part == part
	}
	return true
}

// find is the action of a type; it fails the test if there is not just one.
func find[A Action](r *rig, acts []Action) A {
	r.t.Helper()
	var found []A
	for _, a := range acts {
		if a, ok := a.(A); ok {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		var zero A
		r.t.Fatalf("%d actions %T in %+v", len(found), zero, acts)
	}
	return found[0]
}

func has[A Action](acts []Action) bool {
	return slices.ContainsFunc(acts, func(a Action) bool { _, ok := a.(A); return ok })
}

// install puts a table in force and has the workers let go at once.
func (r *rig) install(t *shard.Table) []Action {
	r.t.Helper()
	first := r.Table().Term == 0 && len(t.History) == 0
	acts := r.step(Install{t})
	find[PutInForce](r, acts)
	if !first {
		return append(acts, r.step(Released{t.Term})...)
	}
	for _, a := range r.Step(r.at, Released{t.Term}) {
		if a, ok := a.(Activate); ok {
			defer r.Step(r.at, Active{a.Part, a.Round})
		}
	}
	return acts
}

// refs are the messages let in.
func refs(acts []Action) (list []uint64) {
	for _, a := range acts {
		if l, ok := a.(Let); ok {
			list = append(list, l.Env.Ref)
		}
	}
	return list
}

func (r *rig) activate(acts []Action) []Action {
	r.t.Helper()
	a := find[Activate](r, acts)
	if !r.Wants(part, a.Round) {
		r.t.Fatal("the Activate is not wanted")
	}
	return r.step(Active{part, a.Round})
}

func origin(follows *shard.Table, term, token uint64) Origin {
	return Origin{Part: part, Term: term, Token: token, Follows: follows.Hash}
}

var (
	one = tableOf(shard.Empty(), 1, "a", "c", "a", "b", "c")
	two = tableOf(one, 2, "b", "c", "a", "b", "c")
)

// moving is b while a partition is on its way from a.
func moving(t *testing.T) *rig {
	r := newRig(t, "b")
	r.install(one)
	if !r.Busy() && r.Runs(part) {
		t.Fatal("it runs what a owns")
	}
	if acts := r.install(two); has[Activate](acts) || r.Runs(part) || !r.Busy() {
		t.Fatalf("it does not wait: %+v", acts)
	}
	return r
}

func TestWhatTheOldOwnerPassesOnComesFirst(t *testing.T) {
	r := moving(t)
	for _, m := range []Message{{id("c"), call(3, 2)}, {id("a"), passed(1, 2)}, {shard.NodeID{}, call(4, 2)}, {id("a"), passed(2, 2)}} {
		if acts := r.step(m); len(acts) > 0 {
			t.Fatalf("not held: %+v", acts)
		}
	}
	find[Keep](r, r.step(Copy{From: id("a"), Origin: origin(one, 2, 1)}))
	acts := r.activate(r.step(Word{From: id("a"), Origin: origin(one, 2, 1)}))
	if got := refs(acts); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Fatalf("let in %v", got)
	}
	if held, _ := r.Held(); r.Busy() || held != 0 || !r.Runs(part) {
		t.Fatal("something still moves")
	}
}

func TestWordsAndCopiesOfOthersDoNotCount(t *testing.T) {
	three := tableOf(two, 3, "c", "a", "a", "b", "c")
	cases := []struct {
		story string
		from  string
		o     Origin
		fits  bool
	}{
		{"of the owner before", "b", origin(two, 3, 2), true},
		{"of one who was replaced and does not know it", "a", origin(one, 3, 1), false},
		{"of an earlier move", "b", origin(one, 2, 1), false},
		{"of a term that was never given", "b", origin(two, 3+TermsAhead+1, 2), false},
		{"passed on by another who had it by the table before", "a", origin(two, 3, 2), true},
	}
	for _, c := range cases {
		t.Run(c.story, func(t *testing.T) {
			for _, seen := range [][]*shard.Table{{one, two, three}, {one, three}, {three}} {
				r := newRig(t, "c")
				for _, table := range seen {
					r.install(table)
				}
				copied := r.step(Copy{From: id(c.from), Origin: c.o})
				said := r.step(Word{From: id(c.from), Origin: c.o})
				if fits := has[Keep](copied) && has[Activate](said); fits != c.fits || has[Stale](copied) == c.fits || has[Stale](said) == c.fits {
					t.Fatalf("after %d tables: %+v, then %+v", len(seen), copied, said)
				}
			}
		})
	}
}

func TestWhatComesTwiceIsStale(t *testing.T) {
	r := moving(t)
	said := Word{From: id("a"), Origin: origin(one, 2, 1)}
	r.activate(r.step(said))
	for _, ev := range []Event{said, Copy{From: id("a"), Origin: origin(one, 2, 1)}, Active{part, 1}} {
		acts := r.step(ev)
		if _, active := ev.(Active); !active {
			find[Stale](r, acts)
		} else if len(acts) > 0 {
			t.Fatalf("%T: %+v", ev, acts)
		}
	}
	if !r.Runs(part) {
		t.Fatal("it does not run any more")
	}
}

func TestMessagesAheadOfTheTableWait(t *testing.T) {
	r := newRig(t, "b")
	r.install(one)
	for ref := range uint64(3) {
		if acts := r.step(Message{id("c"), call(ref+1, 2)}); len(acts) > 0 {
			t.Fatalf("%d: %+v", ref, acts)
		}
	}
	r.step(Message{id("c"), call(9, 3)}) // two tables ahead
	if acts := r.install(two); has[Receive](acts) {
		t.Fatalf("let through: %+v", acts)
	}
	r.step(Message{id("c"), call(4, 2)})
	if got := refs(r.activate(r.step(Word{From: id("a"), Origin: origin(one, 2, 1)}))); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Fatalf("let in %v", got)
	}
	r.at += 2 * EarlyFor
	if late := find[Refuse](r, r.step(Tick{})); late.Env.Ref != 9 || late.Why != NoOwner {
		t.Fatalf("given up %+v", late)
	}
}

func TestTheOldOwnerPassesOnUntilAllHaveMarked(t *testing.T) {
	r := newRig(t, "a")
	r.install(one)
	acts := r.install(two)
	if g := find[Give](r, acts); g.To != id("b") || g.Term != 2 || g.Token != 1 || g.Follows != one.Hash || g.Copies || g.Rival {
		t.Fatalf("%+v", g)
	}
	if m := find[Mark](r, acts); m.Term != 2 || !slices.Equal(m.To, []shard.NodeID{id("b"), id("c")}) {
		t.Fatalf("%+v", m)
	}
	if p := find[Pass](r, r.step(Message{id("c"), call(1, 1)})); p.To != id("b") {
		t.Fatalf("%+v", p)
	}
	r.step(Marked{id("b"), 2})
	r.step(Marked{id("c"), 1})
	if acts := r.step(Sent{Part: part, Term: 2}); has[Say](acts) || r.Given(2) {
		t.Fatalf("c may still follow the table before: %+v", acts)
	}
	find[Pass](r, r.step(Message{id("c"), call(2, 1)}))
	if s := find[Say](r, r.step(Marked{id("c"), 2})); s.To != id("b") || s.Origin != origin(one, 2, 1) {
		t.Fatalf("%+v", s)
	}
	find[Receive](r, r.step(Message{id("c"), call(3, 1)}))
	if !r.Given(2) || r.Busy() {
		t.Fatal("it does not end")
	}
}

func TestWhoDoesNotMarkIsNotFollowed(t *testing.T) {
	r := newRig(t, "a")
	r.install(one)
	r.install(two)
	r.step(Marked{id("b"), 2})
	r.step(Sent{Part: part, Term: 2})
	r.at += MarkWait / 2
	if acts := r.step(Tick{}); has[Say](acts) {
		t.Fatalf("too soon: %+v", acts)
	}
	r.at += MarkWait
	find[Say](r, r.step(Tick{}))
	if f := find[Refuse](r, r.step(Message{id("c"), call(1, 1)})); f.Why != Late {
		t.Fatalf("%+v", f)
	}
	find[Receive](r, r.step(Message{id("b"), call(2, 1)}))
	r.step(Marked{id("c"), 2})
	find[Receive](r, r.step(Message{id("c"), call(3, 1)}))
}

// The link went down between the copies and the word, which came over the next one.
func TestAWordOfWhatIsLostIsNotBelieved(t *testing.T) {
	for _, lost := range []int{0, 1, 2} {
		r := moving(t)
		o := origin(one, 2, 1)
		for range 2 - lost {
			find[Keep](r, r.step(Copy{From: id("a"), Origin: o}))
		}
		acts := r.step(Word{From: id("a"), Origin: o, Pieces: 2})
		if lost == 0 {
			find[Activate](r, acts)
			continue
		}
		if has[Activate](acts) || !slices.Equal(find[Gather](r, acts).Parts, []uint16{part}) {
			t.Fatalf("%d lost: %+v", lost, acts)
		}
	}
}

func TestWhatIsHeldIsBoundedAndEnds(t *testing.T) {
	r := moving(t)
	for ref := range uint64(MaxHeld) {
		if acts := r.step(Message{id("c"), call(ref, 2)}); len(acts) > 0 {
			t.Fatalf("message %d: %+v", ref, acts)
		}
	}
	if f := find[Refuse](r, r.step(Message{id("c"), call(1, 2)})); f.Why != Full {
		t.Fatalf("no bound: %+v", f)
	}
	r.at += HeldFor / 2
	if acts := r.step(Tick{}); len(acts) > 0 {
		t.Fatalf("too soon: %+v", acts)
	}
	r.at += HeldFor
	late := r.step(Tick{})
	if n := len(late); n != MaxHeld || !slices.ContainsFunc(late, func(a Action) bool { f, ok := a.(Refuse); return ok && f.Why == NoOwner }) {
		t.Fatalf("%d late", n)
	}
	r.at += AwaitedFor
	g := find[Gather](r, r.step(Tick{}))
	if len(g.Parts) != 1 || g.Term != 2 || g.Aside != 0 {
		t.Fatalf("%+v", g)
	}
	find[Stale](r, r.step(Word{From: id("a"), Origin: origin(one, 2, 1)})) // its copies are asked for by now
	find[Keep](r, r.step(Copy{From: id("a"), Asked: true, Origin: Origin{Part: part}}))
	again := find[Gather](r, r.step(Gathered{g.Round, []shard.NodeID{id("c")}}))
	if acts := r.step(Gathered{g.Round, nil}); len(acts) > 0 {
		t.Fatalf("of an earlier round: %+v", acts)
	}
	r.activate(r.step(Gathered{again.Round, nil}))
}

func TestAWordMayComeBeforeTheTable(t *testing.T) {
	r := newRig(t, "b")
	r.install(one)
	find[Keep](r, r.step(Copy{From: id("a"), Origin: origin(one, 2, 1)}))
	if acts := r.step(Word{From: id("a"), Origin: origin(one, 2, 1)}); len(acts) > 0 {
		t.Fatalf("%+v", acts)
	}
	r.activate(r.install(two))
}

func TestWhatComesForAnotherIsPassedOn(t *testing.T) {
	three := tableOf(two, 3, "c", "a", "a", "b", "c")
	for _, word := range []string{"before", "after"} {
		t.Run(fmt.Sprint("the word comes ", word, " the table"), func(t *testing.T) {
			r := moving(t)
			r.step(Message{id("c"), call(2, 2)})
			r.step(Message{id("a"), passed(1, 2)})
			said := Word{From: id("a"), Origin: origin(one, 2, 1)}
			var acts []Action
			if word == "before" {
				r.step(said) // the Activate is not done yet
				acts = r.install(three)
			} else {
				acts = append(r.install(three), r.step(said)...)
			}
			var passed []uint64
			for _, a := range acts {
				if p, ok := a.(Pass); ok && p.To == id("c") {
					passed = append(passed, p.Env.Ref)
				}
			}
			if !slices.Equal(passed, []uint64{1, 2}) {
				t.Fatalf("passed on %v", passed)
			}
			if g := find[Give](r, acts); g.To != id("c") || !g.Copies || g.Origin != origin(two, 3, 2) {
				t.Fatalf("%+v", g)
			}
		})
	}
}
