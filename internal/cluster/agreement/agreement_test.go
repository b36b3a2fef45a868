package agreement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gamed/internal/shard"
)

// cast is a machine under test with others that only exist as what it is told.
type cast struct {
	t   *testing.T
	m   *Machine
	now time.Duration
	did []Action
}

func node(n int) shard.NodeID {
	return shard.NodeID{Name: fmt.Sprintf("gamed-%d", n), Boot: uint64(n) << 32}
}

func newCast(t *testing.T, cfg Config) *cast {
	cfg.Place = remembered
	return &cast{t: t, m: New(cfg)}
}

func (c *cast) tell(evs ...Event) *cast {
	for _, ev := range evs {
		c.did = append(c.did, c.m.Step(c.now, ev)...)
	}
	return c
}

// pass lets time pass as the shell would.
func (c *cast) pass(d time.Duration) *cast {
	for end := c.now + d; c.now < end; {
		c.now = min(end, c.now+c.m.Wake())
		c.tell(Tick{})
	}
	return c
}

func (c *cast) up(n int) *cast {
	return c.tell(Seen{ID: node(n)}, LinkUp{node(n)}, Report{From: node(n)})
}

// member links a node and lets it say that it has our table.
func (c *cast) keepUp(links map[int][]int) *cast {
	for n, others := range links {
		r := Report{From: node(n), Position: PositionOf(c.m.Table())}
		for _, o := range others {
			r.Links = append(r.Links, node(o).Boot)
		}
		c.tell(r)
	}
	return c
}

func (c *cast) nodes() string { return fmt.Sprint(c.m.Table().Nodes) }

func (c *cast) want(term uint64, ns ...int) {
	c.t.Helper()
	var ids []shard.NodeID
	for _, n := range ns {
		ids = append(ids, node(n))
	}
	if t := c.m.Table(); t.Term != term || !slices.Equal(t.Nodes, ids) {
		c.t.Fatalf("table %d of %v, want %d of %v", t.Term, t.Nodes, term, ids)
	}
}

// three is a machine of gamed-1 in a table of three, everything in place.
func three(t *testing.T, cfg Config) *cast {
	cfg.Self, cfg.Expect = node(1), 3
	c := newCast(t, cfg).up(2).up(3)
	c.want(1, 1, 2, 3)
	return c.keepUp(map[int][]int{2: {1, 3}, 3: {1, 2}})
}

func TestFormingExpected(t *testing.T) {
	c := newCast(t, Config{Self: node(1), Expect: 3, Search: true}).up(2).pass(time.Minute)
	if w := c.m.Waiting(); c.m.Table().Term != 0 || w != "forming: 2 of 3 expected nodes are meshed" {
		t.Fatalf("term %d, %q", c.m.Table().Term, w)
	}
	c.up(3)
	c.want(1, 1, 2, 3)
	if c.m.Waiting() != "" {
		t.Error(c.m.Waiting())
	}
}

func TestFormingIsForTheLowestName(t *testing.T) {
	c := newCast(t, Config{Self: node(2), Expect: 2, Search: true}).up(1).up(3).pass(time.Minute)
	if c.m.Table().Term != 0 {
		t.Error("it made the table although a lower name is linked")
	}
}

func TestFormingAlone(t *testing.T) {
	newCast(t, Config{Self: node(1)}).tell(Tick{}).want(1, 1)
	c := newCast(t, Config{Self: node(1), Search: true}).pass(2900 * time.Millisecond)
	c.want(0)
	c.pass(200*time.Millisecond).want(1, 1)
}

func TestFormingWaitsForTheTableOfOthers(t *testing.T) {
	c := newCast(t, Config{Self: node(1), Search: true}).tell(Seen{ID: node(2)}, LinkUp{node(2)},
		Report{From: node(2), Position: Position{Term: 7, Coordinator: "gamed-2", Hash: 1}})
	if !slices.Contains(c.did, Action(Fetch{node(2)})) {
		t.Error("the table of the other was not fetched")
	}
	c.pass(10 * time.Second)
	c.want(0)
}

func TestGone(t *testing.T) {
	both := map[int][]int{2: {1}, 3: {1}}
	for _, c := range []struct {
		name  string
		story func(*cast)
		after time.Duration
	}{
		{"closed and its port refuses", func(c *cast) { c.tell(LinkDown{ID: node(3), Closed: true}, Refused{node(3)}) }, 0},
		{"left", func(c *cast) { c.tell(Left{node(3)}) }, 0},
		{"a newer life is linked", func(c *cast) {
			c.tell(LinkDown{ID: node(3), Closed: true}, LinkUp{shard.NodeID{Name: "gamed-3", Boot: 99}})
		}, 0},
		{"silent, another member agrees", func(c *cast) { c.tell(LinkDown{ID: node(3)}).keepUp(both) }, 2 * time.Second},
		{"silent for 1.5 s already, another agrees", func(c *cast) {
			c.tell(LinkDown{ID: node(3), Silent: 1500 * time.Millisecond}).keepUp(both)
		}, 500 * time.Millisecond},
		{"silent, gossip says dead", func(c *cast) { c.tell(LinkDown{ID: node(2)}, LinkDown{ID: node(3)}, LinkUp{node(2)}, Lost{node(3)}) }, 2 * time.Second},
		{"silent for 3 s", func(c *cast) { c.tell(LinkDown{ID: node(2)}, LinkDown{ID: node(3)}, LinkUp{node(2)}) }, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := three(t, Config{})
			c.story(k)
			if c.after > 0 {
				k.pass(c.after - 50*time.Millisecond)
				k.want(1, 1, 2, 3)
			}
			k.pass(crashDelay + 150*time.Millisecond)
			if len(k.m.Table().Nodes) != 2 {
				t.Errorf("nodes %s", k.nodes())
			}
		})
	}
}

func TestNotGone(t *testing.T) {
	for name, story := range map[string]func(*cast){
		"refused, but the link was only silent": func(c *cast) { c.tell(LinkDown{ID: node(3)}, Refused{node(3)}) },
		"dead for gossip, but linked":           func(c *cast) { c.tell(Lost{node(3)}) },
		"another member has a link to it":       func(c *cast) { c.tell(LinkDown{ID: node(3), Closed: true}, Lost{node(3)}) },
		"the link came back":                    func(c *cast) { c.tell(LinkDown{ID: node(3), Closed: true}, LinkUp{node(3)}, Refused{node(3)}) },
	} {
		t.Run(name, func(t *testing.T) {
			c := three(t, Config{})
			story(c)
			c.pass(1900 * time.Millisecond)
			c.want(1, 1, 2, 3)
			if name != "refused, but the link was only silent" {
				c.pass(time.Minute)
				c.want(1, 1, 2, 3)
			}
		})
	}
}

// A crash moves only what was lost, to where its copy is.
func TestCrashInstallsTheBackups(t *testing.T) {
	c := three(t, Config{})
	before := c.m.Table()
	c.tell(LinkDown{ID: node(2), Closed: true}, Refused{node(2)}).pass(crashDelay + fastWake)
	c.want(2, 1, 3)
	after := c.m.Table()
	for p := range uint16(shard.Partitions) {
		was, _ := before.OwnerOf(p)
		heir, _ := before.BackupOf(p)
		is, _ := after.OwnerOf(p)
		if was != node(2) {
			heir = was
		}
		grew := after.PartTerm[p] > before.PartTerm[p]
		if is != heir || grew != (was == node(2)) {
			t.Fatalf("partition %d: %s, then %s, its backup was %s; term %d, then %d", p, was, is, heir, before.PartTerm[p], after.PartTerm[p])
		}
		if b, ok := after.BackupOf(p); !ok || b == is {
			t.Fatalf("partition %d has no backup", p)
		}
	}
}

func TestJoinMovesAThirdAndOnce(t *testing.T) {
	c := newCast(t, Config{Self: node(1), Expect: 2}).up(2)
	before := c.m.Table()
	c.up(3).pass(joinDelay - 10*time.Millisecond)
	c.want(1, 1, 2)
	c.pass(100*time.Millisecond).want(2, 1, 2, 3)
	moved := 0
	for p := range uint16(shard.Partitions) {
		was, _ := before.OwnerOf(p)
		if is, _ := c.m.Table().OwnerOf(p); is != was {
			moved++
		}
	}
	if moved < shard.Partitions/4 || moved > shard.Partitions*2/5 {
		t.Errorf("%d partitions moved to a third node", moved)
	}
	c.pass(time.Minute).want(2, 1, 2, 3)
}

func TestThreeJoinsMakeOneTable(t *testing.T) {
	c := newCast(t, Config{Self: node(1)}).tell(Tick{})
	c.up(2).pass(100 * time.Millisecond).up(3).pass(100 * time.Millisecond).up(4).pass(time.Second)
	c.want(2, 1, 2, 3, 4)
}

func TestNextInSeniorityTakesOver(t *testing.T) {
	a := three(t, Config{})
	b := newCast(t, Config{Self: node(2), Expect: 3}).up(1).up(3).tell(Received{node(1), a.m.Table()})
	c := newCast(t, Config{Self: node(3), Expect: 3}).up(1).up(2).tell(Received{node(1), a.m.Table()})
	for _, k := range []*cast{b, c} {
		k.tell(LinkDown{ID: node(1), Closed: true}, Refused{node(1)}).pass(time.Second)
	}
	b.want(2, 2, 3)
	c.want(1, 1, 2, 3)
}

func TestNewerOnly(t *testing.T) {
	c := three(t, Config{})
	older := *c.m.Table()
	older.Coordinator = "a"
	c.tell(Received{node(2), older.Seal()})
	if c.m.Table().Coordinator != "gamed-1" {
		t.Fatal("an older table was installed")
	}
	newer := older
	newer.Coordinator, newer.History = "z", []uint64{c.m.Table().Hash}
	c.tell(Received{node(2), newer.Seal()})
	if c.m.Table().Coordinator != "z" {
		t.Fatal("a newer table was not installed")
	}
}

// The side with the smaller table goes on with its own until the other one has taken it in, and makes no table meanwhile.
func TestSmallerTableYields(t *testing.T) {
	c := three(t, Config{})
	mine := c.m.Table()
	other := shard.Empty()
	other.Term, other.Coordinator, other.Nodes = 5, "gamed-7", []shard.NodeID{node(7)}
	for p := range shard.Partitions {
		other.Owner[p], other.PartTerm[p] = 0, 5
	}
	other.Seal()
	c.tell(Seen{ID: node(7)}, LinkUp{node(7)}, Report{From: node(7), Position: PositionOf(other), Member: true})
	if !slices.Contains(c.did, Action(Fetch{node(7)})) {
		t.Fatal("not fetched")
	}
	c.pass(time.Second).want(1, 1, 2, 3)
	c.tell(Received{node(7), other}).pass(5*time.Second).want(1, 1, 2, 3)
	union := *other
	union.Term, union.Nodes, union.History = 6, append([]shard.NodeID{node(7)}, mine.Nodes...), []uint64{other.Hash}
	c.tell(Received{node(7), union.Seal()}).want(1, 1, 2, 3)
	taking := union
	taking.Absorbed = []uint64{mine.Hash}
	c.tell(Report{From: node(7), Position: PositionOf(taking.Seal()), Member: true}, Received{node(7), &taking}).want(6, 7, 1, 2, 3)
}

func TestTermGrowsAboveAllHeardOf(t *testing.T) {
	c := newCast(t, Config{Self: node(1), MinTerm: 40}).tell(Tick{})
	c.want(41, 1)
}

func TestDraining(t *testing.T) {
	c := three(t, Config{}).tell(Report{From: node(2), Position: PositionOf(newCast(t, Config{}).m.Table()), Draining: true}).pass(time.Second)
	c.want(2, 1, 2, 3)
	for p := range uint16(shard.Partitions) {
		if o, _ := c.m.Table().OwnerOf(p); o == node(2) {
			t.Fatal("a draining node owns a partition")
		}
		if b, _ := c.m.Table().BackupOf(p); b == node(2) {
			t.Fatal("a draining node holds a copy")
		}
	}
}

func TestQuorum(t *testing.T) {
	c := three(t, Config{Quorum: true}).tell(LinkDown{ID: node(2), Closed: true}, LinkDown{ID: node(3), Closed: true},
		Refused{node(2)}, Refused{node(3)}).pass(time.Minute)
	c.want(1, 1, 2, 3)
	if c.m.Waiting() == "" {
		t.Error("a minority serves")
	}
	c.up(2).pass(time.Second)
	c.want(2, 1, 2)
}

// After a pause everybody else seems to have been silent; but it was this process that did not listen.
func TestPause(t *testing.T) {
	c := three(t, Config{})
	c.now += time.Minute
	c.tell(LinkDown{ID: node(2), Closed: true}, LinkDown{ID: node(3), Closed: true}, Tick{}).pass(1500 * time.Millisecond)
	c.want(1, 1, 2, 3)
}

// Whoever is lost together leaves in one table, though one is found silent half a second after the other.
func TestNodesLostTogetherLeaveInOneTable(t *testing.T) {
	c := three(t, Config{}).tell(LinkDown{ID: node(2), Silent: 1500 * time.Millisecond}).pass(500 * time.Millisecond)
	c.tell(LinkDown{ID: node(3), Silent: 1500 * time.Millisecond})
	for range 100 {
		if c.pass(50 * time.Millisecond); c.m.Table().Term > 1 {
			break
		}
	}
	c.want(2, 1)
}

// A node whose link comes and goes is taken in at most once in ten seconds.
func TestFlapping(t *testing.T) {
	c := newCast(t, Config{Self: node(1), Expect: 2}).up(2).pass(time.Minute)
	var times []time.Duration
	for range 30 {
		c.tell(LinkDown{ID: node(2), Closed: true}, Refused{node(2)}).pass(time.Second)
		c.up(2)
		for range 10 {
			in := len(c.m.Table().Nodes) == 2
			if c.pass(100 * time.Millisecond); !in && len(c.m.Table().Nodes) == 2 {
				times = append(times, c.now)
			}
		}
	}
	if len(times) < 2 {
		t.Fatalf("taken in %d times", len(times))
	}
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d < flapHold {
			t.Errorf("taken in again after %v", d)
		}
	}
}

func TestLeaveEndsAll(t *testing.T) {
	c := three(t, Config{}).tell(Leave{}, LinkDown{ID: node(2), Closed: true}, Refused{node(2)}).pass(time.Minute)
	c.want(1, 1, 2, 3)
	if c.m.Waiting() == "" {
		t.Error("it serves although it leaves")
	}
}

// A backup that is not known to be full takes over from nobody who may live; and from who surely does not, with a word about it. What
// is known holds as long as owner and backup stay, and from whomever it comes.
func TestBackupThatIsNotFull(t *testing.T) {
	run := func(know func(c *cast), gone ...Event) (nobody, partial int) {
		c := three(t, Config{})
		if know != nil {
			know(c)
		}
		c.tell(gone...).pass(3500*time.Millisecond).want(2, 1, 3)
		for p := range uint16(shard.Partitions) {
			if _, ok := c.m.Table().OwnerOf(p); !ok {
				nobody++
			}
		}
		for _, a := range c.did {
			if a, ok := a.(Partial); ok {
				partial += a.Partitions
			}
		}
		return nobody, partial
	}
	owned := 0
	for p := range uint16(shard.Partitions) {
		if o, _ := three(t, Config{}).m.Table().OwnerOf(p); o == node(2) {
			owned++
		}
	}
	all := func(c *cast, from int, hash uint64) Report {
		r := Report{From: node(from), Position: Position{Term: 1, Coordinator: "gamed-1", Hash: hash}, Member: true}
		for p := range uint16(shard.Partitions) {
			r.Filled.Add(p)
		}
		return r
	}
	silent := []Event{LinkDown{ID: node(2)}, Lost{node(2)}, Report{From: node(3), Position: Position{Term: 1, Coordinator: "gamed-1"}, Member: true}}
	dead := []Event{LinkDown{ID: node(2), Closed: true}, Refused{node(2)}}
	for _, c := range []struct {
		name            string
		know            func(c *cast)
		gone            []Event
		nobody, partial int
	}{
		{"silent, not full", nil, silent, owned, 0},
		{"dead, not full", nil, dead, 0, owned},
		{"silent, full", func(c *cast) { c.tell(all(c, 2, c.m.Table().Hash)) }, silent, 0, 0},
		{"silent, full as another says", func(c *cast) { c.tell(all(c, 3, c.m.Table().Hash)) }, silent, 0, 0},
		{"silent, full by another table", func(c *cast) { c.tell(all(c, 2, 77)) }, silent, owned, 0},
		{"dead, full", func(c *cast) { c.tell(all(c, 2, c.m.Table().Hash)) }, dead, 0, 0},
	} {
		if nobody, partial := run(c.know, c.gone...); nobody != c.nobody || partial != c.partial {
			t.Errorf("%s: %d partitions are nobody's, %d go to backups that are not full, want %d and %d", c.name, nobody, partial, c.nobody, c.partial)
		}
	}
}

// What is known of a backup is carried to the next table where that changes nothing, and no further.
func TestFilledIsCarried(t *testing.T) {
	c := three(t, Config{})
	before := c.m.Table()
	ev := Filled{Table: before.Hash}
	for p := range uint16(shard.Partitions) {
		ev.Parts.Add(p)
	}
	c.tell(ev, Drain{true}).pass(2 * time.Second)
	after, known := c.m.Table(), c.m.Filled()
	if after.Hash == before.Hash {
		t.Fatal("no other table")
	}
	kept := 0
	for p := range uint16(shard.Partitions) {
		b1, _ := before.BackupOf(p)
		b2, _ := after.BackupOf(p)
		same := before.PartTerm[p] == after.PartTerm[p] && b1 == b2
		if known.Has(p) != same {
			t.Fatalf("partition %d: the same %v, known %v", p, same, known.Has(p))
		}
		if same {
			kept++
		}
	}
	if kept == 0 || kept == shard.Partitions {
		t.Fatal("nothing to see", kept)
	}
	skipped := *after
	skipped.History = append([]uint64{99}, after.History...)
	if got := carry(before, skipped.Seal(), &ev.Parts); !got.Empty() {
		t.Error("something is known although a table was missed")
	}
}
