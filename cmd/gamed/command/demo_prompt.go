package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// order is one line of the demo's prompt.
type order struct {
	verb   string
	node   int     // kill, drain
	groups [][]int // split
}

const demoHelp = `kill N       end node N as kill -9 would
drain N      stop node N in order: its players go to the others first
add          start another node
split 1|23   cut all links between the groups (from 10 nodes on: split 1,2|3,10)
heal         undo all cuts
status       nodes, partitions, bots
quit         stop everything`

// parseOrder judges a line for a demo of n nodes.
func parseOrder(line string, n int) (order, error) {
	verb, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	o := order{verb: strings.ToLower(verb)}
	args = strings.TrimSpace(args)
	switch o.verb {
	case "", "heal", "add", "status", "quit", "help":
		if args != "" {
			return o, fmt.Errorf("%s stands alone", o.verb)
		}
		return o, nil
	case "exit", "bye":
		return order{verb: "quit"}, nil
	case "kill", "drain":
		node, err := strconv.Atoi(strings.TrimPrefix(args, "demo-"))
		if err != nil || node < 1 || node > n {
			return o, fmt.Errorf("%s which node? 1 to %d, for example: %s 2", o.verb, n, o.verb)
		}
		o.node = node
		return o, nil
	case "split":
		groups, err := parseGroups(args, n)
		o.groups = groups
		return o, err
	}
	return o, fmt.Errorf("there is no command %q; help lists them", printable(o.verb))
}

// parseGroups reads 1|23, or 1|2,3. Nodes named nowhere belong to the last group.
func parseGroups(text string, n int) ([][]int, error) {
	hint := errors.New("split how? for example: split 1|23")
	parts := strings.Split(text, "|")
	if len(parts) < 2 {
		return nil, hint
	}
	groups, seen := make([][]int, len(parts)), map[int]bool{}
	for i, part := range parts {
		words := strings.FieldsFunc(part, func(r rune) bool { return r == ',' || r == ' ' })
		if !strings.Contains(part, ",") && n < 10 {
			words = strings.Split(strings.ReplaceAll(part, " ", ""), "")
		}
		for _, w := range words {
			node, err := strconv.Atoi(w)
			switch {
			case err != nil || node < 1 || node > n:
				return nil, fmt.Errorf("%q is no node: want 1 to %d, for example: split 1|23", printable(w), n)
			case seen[node]:
				return nil, fmt.Errorf("node %d stands in two groups", node)
			}
			seen[node] = true
			groups[i] = append(groups[i], node)
		}
		if len(groups[i]) == 0 {
			return nil, hint
		}
	}
	for node := 1; node <= n; node++ {
		if !seen[node] {
			groups[len(groups)-1] = append(groups[len(groups)-1], node)
		}
	}
	return groups, nil
}

// prompt does one line; true ends the demo.
func (d *demo) prompt(ctx context.Context, line string) (quit bool) {
	o, err := parseOrder(line, len(d.nodes))
	if err != nil {
		d.say("%v", err)
		return false
	}
	switch o.verb {
	case "quit":
		return true
	case "help":
		d.say("%s", demoHelp)
	case "status":
		d.status()
	case "add":
		d.grow(ctx)
	case "kill", "drain":
		node := d.nodes[o.node-1]
		if node.gone != "" {
			d.say("node %d is %s already", o.node, node.gone)
		} else if o.verb == "kill" {
			d.kill(ctx, node)
		} else {
			d.drain(ctx, node)
		}
	case "split":
		d.split(ctx, o.groups)
	case "heal":
		d.heal(ctx)
	}
	return false
}

// settleTimeout bounds how long the demo watches for the outcome of a command.
const settleTimeout = 20 * time.Second

// await asks every 10 ms until ok; took is the time since the call.
func (d *demo) await(ctx context.Context, limit time.Duration, ok func() bool) (took time.Duration, done bool) {
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return time.Since(start), false
		case <-tick.C:
		}
		if time.Since(start) > limit {
			return time.Since(start), false
		}
	}
	return time.Since(start), true
}

// whole: all running nodes are ready, hold the same table, and it names just them.
func (d *demo) whole() bool { return together(d.running()) }

// together says whether these nodes, and no others, share one table.
func together(nodes []*demoNode) bool {
	var hash uint64
	for i, n := range nodes {
		v := n.server.View()
		if ok, _ := n.server.Ready(); !ok || i > 0 && v.Hash != hash {
			return false
		}
		hash = v.Hash
		if len(v.Owned) != len(nodes) {
			return false
		}
		for _, other := range nodes {
			if v.Owned[other.addrs.Node] == 0 {
				return false
			}
		}
	}
	return len(nodes) > 0
}

// whyNot tells of nodes that are not ready.
func (d *demo) whyNot() string {
	var b strings.Builder
	for _, n := range d.running() {
		if ok, reasons := n.server.Ready(); !ok {
			fmt.Fprintf(&b, "; node %d: %s", n.n, strings.Join(reasons, ", "))
		}
	}
	return b.String()
}

// botsBack says whether every bot is connected, and to a node that runs.
func (d *demo) botsBack() bool {
	names := map[string]bool{}
	for _, n := range d.running() {
		names[n.addrs.Node] = true
	}
	return !slices.ContainsFunc(d.bots, func(b *bot) bool { return !names[b.where()] })
}

// tell reports how long something took.
func (d *demo) tell(what string, took time.Duration, ok bool) {
	if ok {
		d.say("  %s after %s", what, seconds(took))
	} else {
		d.say("  NOT within %s: %s", seconds(took), what)
	}
}
