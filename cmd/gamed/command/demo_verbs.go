package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gamed/internal/shard"
)

func (d *demo) status() {
	nodes := d.running()
	rows := make([]string, 0, len(d.nodes))
	for _, n := range d.nodes {
		if n.gone != "" {
			rows = append(rows, fmt.Sprintf("%d\t%s\t-\t-\t-\t-\t-", n.n, n.gone))
			continue
		}
		state := "ready"
		if ok, reasons := n.server.Ready(); !ok {
			state = "not ready: " + strings.Join(reasons, "; ")
		}
		v, bots := n.server.View(), 0
		for _, b := range d.bots {
			if b.where() == n.addrs.Node {
				bots++
			}
		}
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\thttp://%s/\t%d\t%d\t%d", n.n, state, n.addrs.Players, n.addrs.Admin, v.Term, v.Owned[n.addrs.Node], bots))
	}
	var page strings.Builder
	columns(&page, "NODE\tSTATE\tPLAYERS\tCONSOLE\tTERM\tPARTITIONS\tBOTS", rows)
	if len(d.bots) > 0 {
		d.botTotals(&page)
	}
	if !together(nodes) {
		fmt.Fprintln(&page, "the nodes do not all hold the same table")
	}
	d.say("%s", strings.TrimSuffix(page.String(), "\n"))
}

func (d *demo) botTotals(out io.Writer) {
	var up int
	var answers, refused, failed, returned, lost uint64
	for _, b := range d.bots {
		if b.up.Load() {
			up++
		}
		answers += b.answers.Load()
		refused += b.refused.Load()
		failed += b.failed.Load()
		returned += b.returned.Load()
		lost += b.lost.Load()
	}
	fmt.Fprintf(out, "bots: %d of %d connected; answers taken %d, refused %d (out, or too late), without outcome %d; reconnects %d, sessions lost %d\n",
		up, len(d.bots), answers, refused, failed, returned, lost)
}

func (d *demo) kill(ctx context.Context, n *demoNode) {
	if len(d.running()) == 1 {
		d.say("node %d is the last one: quit ends the demo", n.n)
		return
	}
	before := d.picture(ctx, d.running())
	owned := n.server.View().Owned[n.addrs.Node]
	bots := d.on(n)
	n.server.Kill()
	d.end(n, "killed")
	d.say("killed node %d: %d partitions, %d of %d bots' sessions, %d bots' connections", n.n, owned, before.held(n.addrs.Node), len(d.bots), bots)
	start := time.Now()
	d.without(ctx, n, before, start)
	_, ok := d.await(ctx, settleTimeout, d.botsBack)
	d.tell("all bots were connected again", time.Since(start), ok)
	d.outcome(ctx, before)
}

// without reports on the table without a node that has ended.
func (d *demo) without(ctx context.Context, n *demoNode, before picture, start time.Time) {
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell(fmt.Sprintf("a table without node %d was in force on all", n.n), time.Since(start), ok)
	if takers := d.picture(ctx, d.running()).takers(before, n.addrs.Node); takers != "" {
		d.say("  its partitions went to: %s", takers)
	}
	if len(d.running()) > 1 {
		_, ok = d.await(ctx, settleTimeout, d.backedUp)
		d.tell("every partition had a backup again", time.Since(start), ok)
	}
}

// backedUp says whether every partition has an owner and a backup.
func (d *demo) backedUp() bool {
	for _, n := range d.running() {
		if v := n.server.View(); v.Backups < len(v.Owner) || slices.Contains(v.Owner, "") {
			return false
		}
	}
	return true
}

// outcome sums up what became of partitions and sessions.
func (d *demo) outcome(ctx context.Context, before picture) {
	after := d.picture(ctx, d.running())
	partitions, sessions, sockets := after.since(before)
	d.say("  in all: %d partitions have another owner; of %d bots %d live on another node, %d are connected to another, %d lost their session",
		partitions, len(d.bots), sessions, sockets, after.lost-before.lost)
}

func (d *demo) drain(ctx context.Context, n *demoNode) {
	if len(d.running()) == 1 {
		d.say("node %d is the last one: quit ends the demo", n.n)
		return
	}
	before := d.picture(ctx, d.running())
	owned, bots, start := n.server.View().Owned[n.addrs.Node], d.on(n), time.Now()
	d.say("draining node %d: %d partitions, %d of %d bots' sessions, %d bots' connections", n.n, owned, before.held(n.addrs.Node), len(d.bots), bots)
	n.cancel()
	select {
	case <-n.done:
	case <-time.After(30 * time.Second):
		d.say("  NOT within %s: node %d has ended", seconds(time.Since(start)), n.n)
		return
	case <-ctx.Done():
		return
	}
	d.end(n, "drained")
	what := fmt.Sprintf("node %d had ended", n.n)
	if n.err != nil {
		what += fmt.Sprintf(" (%v)", n.err)
	}
	d.tell(what, time.Since(start), true)
	d.without(ctx, n, before, start)
	_, ok := d.await(ctx, settleTimeout, d.botsBack)
	d.tell("all bots were connected elsewhere", time.Since(start), ok)
	d.outcome(ctx, before)
}

func (d *demo) grow(ctx context.Context) {
	if len(d.nodes) >= 20 {
		d.say("20 nodes are enough for one process")
		return
	}
	before, start := d.picture(ctx, d.running()), time.Now()
	n, err := d.add(0)
	if err != nil {
		d.say("%v", err)
		return
	}
	d.say("started node %d: players %s, console http://%s/", n.n, n.addrs.Players, n.addrs.Admin)
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell(fmt.Sprintf("node %d owned %d partitions, known to all,", n.n, n.server.View().Owned[n.addrs.Node]), time.Since(start), ok)
	_, ok = d.await(ctx, settleTimeout, d.backedUp)
	d.tell("every partition had a backup", time.Since(start), ok)
	d.outcome(ctx, before)
}

// split cuts what lies between the groups, and mends what lies inside them.
func (d *demo) split(ctx context.Context, groups [][]int) {
	of := map[int]int{}
	for i, g := range groups {
		for _, n := range g {
			of[n] = i
		}
	}
	before, start := d.picture(ctx, d.running()), time.Now()
	d.cut(func(a, b *demoNode) bool { return of[a.n] != of[b.n] })
	sides := make([][]*demoNode, len(groups))
	for _, n := range d.running() {
		sides[of[n.n]] = append(sides[of[n.n]], n)
	}
	sides = slices.DeleteFunc(sides, func(s []*demoNode) bool { return len(s) == 0 })
	d.say("cut: %s", describeSides(sides))
	d.sides = sides
	for _, side := range sides {
		_, ok := d.await(ctx, settleTimeout, func() bool { return apart(side, len(sides) > 1) })
		d.tell(describeSides([][]*demoNode{side})+" had a table of its own", time.Since(start), ok)
		d.describe(ctx, side, before)
	}
}

// apart says whether these nodes share one table that has nobody else; missing: and that says so.
func apart(side []*demoNode, missing bool) bool {
	var hash uint64
	for i, n := range side {
		v := n.server.View()
		if i > 0 && v.Hash != hash || v.Degraded != missing {
			return false
		}
		hash = v.Hash
		for name := range v.Owned {
			if !slices.ContainsFunc(side, func(n *demoNode) bool { return n.addrs.Node == name }) {
				return false
			}
		}
	}
	return true
}

// describe tells what a side of a split serves.
func (d *demo) describe(ctx context.Context, side []*demoNode, before picture) {
	p, own, bots, here := d.picture(ctx, side), 0, 0, 0
	for part, owner := range p.owner {
		if owner != "" && owner == before.owner[part] {
			own++
		}
	}
	for _, at := range p.bots {
		if at != "" {
			bots++
		}
	}
	for _, n := range side {
		here += d.on(n)
	}
	state := ""
	if side[0].server.View().Degraded {
		state = "; it says that it is degraded"
	}
	d.say("    serves %d of %d partitions: %d as before, %d taken over from backups; %d cannot be served here%s", p.served(), len(p.owner), own,
		p.served()-own, len(p.owner)-p.served(), state)
	d.say("    %d of %d bots' sessions can be served here, %d bots are connected here", bots, len(d.bots), here)
	home := p.owner[shard.PartitionOf("trivia/demo")]
	switch {
	case home == "":
		d.say("    the show cannot be served here")
	case p.served() < len(p.owner):
		d.say("    the show stands still here, at %s: a result waits for every partition's answers", home)
	default:
		d.say("    the show goes on here, at %s", home)
	}
}

func describeSides(sides [][]*demoNode) string {
	texts := make([]string, len(sides))
	for i, side := range sides {
		var names []string
		for _, n := range side {
			names = append(names, fmt.Sprint(n.n))
		}
		texts[i] = strings.Join(names, " ")
	}
	return strings.Join(texts, " | ")
}

func (d *demo) heal(ctx context.Context) {
	before := d.picture(ctx, d.running())
	var sides []picture
	for _, side := range d.sides {
		if side = slices.DeleteFunc(slices.Clone(side), func(n *demoNode) bool { return n.gone != "" }); len(side) > 0 {
			sides = append(sides, d.picture(ctx, side))
		}
	}
	d.sides = nil
	start, twice := time.Now(), both(sides)
	d.cut(func(a, b *demoNode) bool { return false })
	d.say("healed all links: %d partitions were served by more than one side", twice)
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell("one table was in force on all, one owner for each partition", time.Since(start), ok)
	_, ok = d.await(ctx, settleTimeout, func() bool { return d.backedUp() && !d.running()[0].server.View().Degraded })
	d.tell("every partition had a backup, nobody was degraded", time.Since(start), ok)
	_, ok = d.await(ctx, settleTimeout, d.botsBack)
	d.tell("all bots were connected", time.Since(start), ok)
	after := before
	_, ok = d.await(ctx, 5*time.Second, func() bool {
		after = d.picture(ctx, d.running())
		return after.merged-before.merged >= twice
	})
	d.tell(fmt.Sprintf("%d partitions were merged: %d players and rooms had been changed by both sides", after.merged-before.merged,
		after.conflicts-before.conflicts), time.Since(start), ok)
	d.outcome(ctx, before)
}

// cut makes every pair of running nodes as wanted.
func (d *demo) cut(wanted func(a, b *demoNode) bool) {
	nodes := d.running()
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				a.server.Cut(b.addrs.Node, wanted(a, b))
			}
		}
	}
}

// on counts the bots connected to n.
func (d *demo) on(n *demoNode) (bots int) {
	for _, b := range d.bots {
		if b.where() == n.addrs.Node {
			bots++
		}
	}
	return bots
}

// end notes how a node ended.
func (d *demo) end(n *demoNode, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.gone = how
}
