package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gamed/internal/shard"
)

// picture is who serves what at one moment; the difference of two tells what a command did.
type picture struct {
	owner     []string          // of each partition, by a node that runs
	bots      map[string]string // the node that each bot's session lives on, by the same table
	up        map[string]string // the node that each bot is connected to
	lost      uint64            // sessions lost so far
	conflicts int               // entities that both sides of a split had changed so far, of all nodes that run
	merged    int               // partitions merged after splits so far, of the same
}

// picture takes one, by the table of these nodes' first.
func (d *demo) picture(ctx context.Context, by []*demoNode) picture {
	p := picture{bots: map[string]string{}, up: map[string]string{}}
	if len(by) > 0 {
		p.owner = by[0].server.View().Owner
	}
	for _, b := range d.bots {
		if part := int(shard.PartitionOf("player/" + b.name)); part < len(p.owner) {
			p.bots[b.name] = p.owner[part]
		}
		p.up[b.name] = b.where()
		p.lost += b.lost.Load()
	}
	for _, n := range by {
		counts := counters(ctx, n.addrs.Admin, "gamed_conflicts_total", "gamed_ownership_partitions_merged_total")
		p.conflicts += counts[0]
		p.merged += counts[1]
	}
	return p
}

// since tells what is different: partitions with another owner, bots whose session lives elsewhere, bots on another socket's node.
func (p picture) since(before picture) (partitions, sessions, sockets int) {
	for i := range min(len(p.owner), len(before.owner)) {
		if p.owner[i] != before.owner[i] {
			partitions++
		}
	}
	for name, at := range p.bots {
		if before.bots[name] != at {
			sessions++
		}
		if before.up[name] != p.up[name] {
			sockets++
		}
	}
	return partitions, sessions, sockets
}

// held counts the bots whose session lives on the node named.
func (p picture) held(node string) (sessions int) {
	for _, at := range p.bots {
		if at == node {
			sessions++
		}
	}
	return sessions
}

// takers tells how many of the partitions that a node owned before went to whom.
func (p picture) takers(before picture, node string) string {
	count := map[string]int{}
	for i, owner := range before.owner {
		if owner == node && i < len(p.owner) {
			count[p.owner[i]]++
		}
	}
	var parts []string
	for name, n := range count {
		if name == "" {
			name = "nobody"
		}
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// served counts the partitions that have an owner.
func (p picture) served() (n int) {
	for _, owner := range p.owner {
		if owner != "" {
			n++
		}
	}
	return n
}

// both counts the partitions that have an owner in more than one of the pictures.
func both(sides []picture) (n int) {
	if len(sides) == 0 {
		return 0
	}
	for part := range sides[0].owner {
		owners := 0
		for _, p := range sides {
			if part < len(p.owner) && p.owner[part] != "" {
				owners++
			}
		}
		if owners > 1 {
			n++
		}
	}
	return n
}

// counters reads metrics of a node; what is not to be had counts as 0.
func counters(ctx context.Context, admin string, names ...string) []int {
	out := make([]int, len(names))
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", http.NoBody)
	if err != nil {
		return out
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return out
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(res.Body, 4<<20))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := slices.Index(names, name); i >= 0 {
			v, _ := strconv.ParseFloat(value, 64) // what is no number counts as 0
			out[i] = int(v)
		}
	}
	return out
}
