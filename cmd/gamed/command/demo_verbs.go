package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
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
	bots := d.on(n)
	n.server.Kill()
	d.end(n, "killed")
	d.say("killed node %d with %d of %d bots on it", n.n, bots, len(d.bots))
	start := time.Now()
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell(fmt.Sprintf("a table without node %d was in force on all", n.n), time.Since(start), ok)
	_, ok = d.await(ctx, settleTimeout, d.botsBack)
	d.tell("all bots were connected again", time.Since(start), ok)
}

func (d *demo) drain(ctx context.Context, n *demoNode) {
	if len(d.running()) == 1 {
		d.say("node %d is the last one: quit ends the demo", n.n)
		return
	}
	bots, start := d.on(n), time.Now()
	d.say("draining node %d with %d of %d bots on it", n.n, bots, len(d.bots))
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
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell(fmt.Sprintf("a table without node %d was in force on all", n.n), time.Since(start), ok)
	_, ok = d.await(ctx, settleTimeout, d.botsBack)
	d.tell("all bots were connected elsewhere", time.Since(start), ok)
}

func (d *demo) grow(ctx context.Context) {
	if len(d.nodes) >= 20 {
		d.say("20 nodes are enough for one process")
		return
	}
	start := time.Now()
	n, err := d.add(0)
	if err != nil {
		d.say("%v", err)
		return
	}
	d.say("started node %d: players %s, console http://%s/", n.n, n.addrs.Players, n.addrs.Admin)
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell(fmt.Sprintf("node %d owned %d partitions, known to all,", n.n, n.server.View().Owned[n.addrs.Node]), time.Since(start), ok)
}

// split cuts what lies between the groups, and mends what lies inside them.
func (d *demo) split(ctx context.Context, groups [][]int) {
	of := map[int]int{}
	for i, g := range groups {
		for _, n := range g {
			of[n] = i
		}
	}
	start := time.Now()
	d.cut(func(a, b *demoNode) bool { return of[a.n] != of[b.n] })
	sides := make([][]*demoNode, len(groups))
	for _, n := range d.running() {
		sides[of[n.n]] = append(sides[of[n.n]], n)
	}
	sides = slices.DeleteFunc(sides, func(s []*demoNode) bool { return len(s) == 0 })
	d.say("cut: %s", describeSides(sides))
	for _, side := range sides {
		_, ok := d.await(ctx, settleTimeout, func() bool { return together(side) })
		d.tell(describeSides([][]*demoNode{side})+" had a table of its own", time.Since(start), ok)
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
	start := time.Now()
	d.cut(func(a, b *demoNode) bool { return false })
	d.say("healed all links")
	_, ok := d.await(ctx, settleTimeout, d.whole)
	d.tell("one table was in force on all", time.Since(start), ok)
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
