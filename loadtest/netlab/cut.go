package netlab

import (
	"context"
	"fmt"
	"strings"
)

// Kind is what a cut drops.
type Kind string

// The kinds.
const (
	All Kind = ""
	TCP Kind = "tcp"
	UDP Kind = "udp"
)

// Cut drops what goes from one host to another; the other direction is another cut.
type Cut struct {
	From, To string
	Kind     Kind
	Percent  int // of the packets, at random; 0: all of them
}

// Link cuts both directions between two hosts.
func Link(a, b string, kind Kind) []Cut {
	return []Cut{{From: a, To: b, Kind: kind}, {From: b, To: a, Kind: kind}}
}

// Split cuts all links between hosts of different groups.
func Split(groups ...[]string) []Cut { return Between(All, groups...) }

// Between cuts traffic of one kind on all links between hosts of different groups.
func Between(kind Kind, groups ...[]string) (cuts []Cut) {
	for i, g := range groups {
		for _, other := range groups[i+1:] {
			for _, a := range g {
				for _, b := range other {
					cuts = append(cuts, Link(a, b, kind)...)
				}
			}
		}
	}
	return cuts
}

// Cut puts these cuts in the place of all that were, in one step. None: the network is whole.
func (l *Lab) Cut(cuts ...Cut) error {
	script, err := l.script(cuts)
	if err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("cut: the network is closed")
	}
	return run(context.Background(), script, "ip", "netns", "exec", l.prefix+bridge, "nft", "-f", "-")
}

// Heal undoes all cuts.
func (l *Lab) Heal() error { return l.Cut() }

// script is what nft does: it drops the old table, if there is one, and makes the new one in one transaction.
func (l *Lab) script(cuts []Cut) (string, error) {
	var b strings.Builder
	b.WriteString("add table bridge cut\ndelete table bridge cut\ntable bridge cut {\nchain forward {\ntype filter hook forward priority 0; policy accept;\n")
	for _, c := range cuts {
		from, to := l.addrs[c.From], l.addrs[c.To]
		if from == "" || to == "" || c.From == c.To {
			return "", fmt.Errorf("from %q to %q: want two hosts", c.From, c.To)
		}
		fmt.Fprintf(&b, "ip saddr %s ip daddr %s", from, to)
		switch c.Kind {
		case All:
		case TCP, UDP:
			fmt.Fprintf(&b, " ip protocol %s", c.Kind)
		default:
			return "", fmt.Errorf("kind %q: want tcp or udp", c.Kind)
		}
		if c.Percent < 0 || c.Percent > 100 {
			return "", fmt.Errorf("%d percent", c.Percent)
		}
		if c.Percent > 0 && c.Percent < 100 {
			fmt.Fprintf(&b, " numgen random mod 100 < %d", c.Percent)
		}
		b.WriteString(" drop\n")
	}
	b.WriteString("}\n}\n")
	return b.String(), nil
}
