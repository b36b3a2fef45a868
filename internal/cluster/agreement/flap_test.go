package agreement

import (
	"testing"
	"time"

	"gamed/internal/shard"
)

// flap takes node 2 away for a second and brings it back for another one, again and again; it tells when node 2 came back into the
// table, and how often partitions moved.
func (c *cast) flap(rounds int) (back []time.Duration, moved int) {
	in, owners := true, c.m.Table().Owner
	look := func() {
		t := c.m.Table()
		is := t.Has(node(2))
		if is && !in {
			back = append(back, c.now)
		}
		in = is
		if t.Owner != owners {
			moved++
		}
		owners = t.Owner
	}
	for range rounds {
		c.tell(LinkDown{ID: node(2), Closed: true}, Refused{node(2)}).pass(time.Second)
		look()
		for range 10 {
			c.up(2).keepUp(map[int][]int{3: {1, 2}}).pass(100 * time.Millisecond)
			look()
		}
	}
	return back, moved
}

// Who comes and goes is taken in again, but ever more seldom, and is given partitions once a minute at most.
func TestFlapDamping(t *testing.T) {
	c := three(t, Config{}).pass(2 * time.Minute).keepUp(map[int][]int{2: {1, 3}, 3: {1, 2}})
	began := c.now
	back, moved := c.flap(150)
	if len(back) < 10 {
		t.Fatalf("back in the table %d times", len(back))
	}
	for i := 1; i < len(back); i++ {
		want := flapHold
		if i > 1 {
			want *= 2
		}
		if d := back[i] - back[i-1]; d < want {
			t.Errorf("time %d: back after %v, want %v", i, d, want)
		}
	}
	if most := 2 * int((c.now-began)/flapFor+1); moved > most {
		t.Errorf("%d tables moved partitions in %v, want at most %d", moved, c.now-began, most)
	}
	c.up(2).pass(flapFor)
	c.keepUp(map[int][]int{2: {1, 3}, 3: {1, 2}}).pass(flapFor)
	if !c.m.Table().Has(node(2)) || !c.m.placed(c.m.Table().Nodes) {
		t.Errorf("not in its place after peace: %v", c.m.Table().Nodes)
	}
}

// One who goes and wants to be drained, or another node that comes, is not kept waiting by one who flaps.
func TestFlappingKeepsNobodyWaiting(t *testing.T) {
	c := three(t, Config{}).pass(2 * time.Minute).keepUp(map[int][]int{2: {1, 3}, 3: {1, 2}})
	c.flap(20)
	c.up(4)
	c.flap(60)
	if i := uint16(indexOf(c.m.Table().Nodes, node(4))); !owns(c.m.Table(), i) {
		t.Error("the new node has nothing after two minutes")
	}
	c.tell(Drain{On: true}).flap(20)
	if owns(c.m.Table(), uint16(indexOf(c.m.Table().Nodes, node(1)))) {
		t.Error("the draining node still owns partitions")
	}
}

func owns(t *shard.Table, i uint16) bool {
	for _, o := range t.Owner {
		if o == i {
			return true
		}
	}
	return false
}

// Nothing is moved for balance while somebody is silent: it may be this node that is cut off, and then it has no say.
func TestNoMovesInDoubt(t *testing.T) {
	c := three(t, Config{}).pass(2 * time.Minute).keepUp(map[int][]int{2: {1, 3}, 3: {1, 2}})
	back, _ := c.flap(6)
	if len(back) != 2 || owns(c.m.Table(), uint16(indexOf(c.m.Table().Nodes, node(2)))) {
		t.Fatalf("back %v, in %v", back, c.m.Table().Nodes)
	}
	c.up(2).pass(back[1] + flapHold - time.Second/2 - c.now).keepUp(map[int][]int{2: {1}, 3: {1}})
	before := c.m.Table()
	if !before.Has(node(2)) || c.m.placed(before.Nodes) {
		t.Fatal("nothing is to be moved")
	}
	c.tell(LinkDown{ID: node(2), Silent: time.Second}, LinkDown{ID: node(3), Silent: time.Second})
	for c.m.Table() == before {
		c.pass(100 * time.Millisecond)
	}
	if now := c.m.Table(); len(now.Nodes) != 1 {
		t.Errorf("%v cut off: a table of %v", node(1), now.Nodes)
	}
}
