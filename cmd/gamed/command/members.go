package command

import (
	"fmt"
	"io"
	"net/url"
	"sort"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newMembers(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "The nodes of the cluster",
		Long:  "Shows every node: its state, where players connect, the round trip from the node asked, and what it carries.",
		Example: `  gamed members --watch
  gamed members --admin 10.0.0.2:7303 -o json`,
		Args: cobra.NoArgs,
	}
	a, o, w := addAPI(cmd, e), addOutput(cmd), addWatch(cmd)
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := a.open(); err != nil {
			return err
		}
		return w.repeat(e, o, func(out io.Writer) error {
			var list []admin.Member
			if err := a.get("/api/v1/members", &list); err != nil {
				return err
			}
			return o.print(out, list, func(out io.Writer) { printMembers(out, list) })
		})
	})
	return cmd
}

func printMembers(out io.Writer, list []admin.Member) {
	rows := make([]string, 0, len(list))
	for _, m := range list {
		if m.Error != "" {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t-\t%d\t-\t%s", m.Node, m.State, m.Addr, m.Partitions, m.Error))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%.2fms\t%d\t%d\t%s", m.Node, m.State, m.Addr, m.RTT, m.Partitions, m.Players, m.Version))
	}
	columns(out, "NODE\tSTATE\tPLAYERS CONNECT TO\tRTT\tPARTITIONS\tPLAYERS\tVERSION", rows)
}

func newTable(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Who owns the partitions",
		Long:  "Shows how many partitions each node owns and backs up; with --all every partition with its term.",
		Args:  cobra.NoArgs,
	}
	a, o, w := addAPI(cmd, e), addOutput(cmd), addWatch(cmd)
	all := cmd.Flags().Bool("all", false, "every partition")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := a.open(); err != nil {
			return err
		}
		return w.repeat(e, o, func(out io.Writer) error {
			var t admin.Table
			if err := a.get("/api/v1/table", &t); err != nil {
				return err
			}
			return o.print(out, t, func(out io.Writer) { printTable(out, t, *all) })
		})
	})
	return cmd
}

func printTable(out io.Writer, t admin.Table, all bool) {
	fmt.Fprintf(out, "term %d  hash %s  partitions %d\n", t.Term, t.Hash, len(t.Partitions))
	var rows []string
	if all {
		for i, p := range t.Partitions {
			rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%d", i, nobody(p.Owner), nobody(p.Backup), p.Term))
		}
		columns(out, "PARTITION\tOWNER\tBACKUP\tTERM", rows)
		return
	}
	type count struct{ owned, backed int }
	counts := map[string]*count{}
	of := func(node string) *count {
		if counts[node] == nil {
			counts[node] = &count{}
		}
		return counts[node]
	}
	for _, p := range t.Partitions {
		of(p.Owner).owned++
		of(p.Backup).backed++
	}
	for node, c := range counts {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d", nobody(node), c.owned, c.backed))
	}
	sort.Strings(rows)
	columns(out, "NODE\tOWNS\tBACKS UP", rows)
}

func nobody(node string) string {
	if node == "" {
		return "(nobody)"
	}
	return node
}

func newLocate(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "locate KEY",
		Short: "Where a player or a room lives",
		Long:  "Shows partition, owner, backup and fencing token of a key. Keys are player/NAME and GAME/ID, such as trivia/friday.",
		Example: `  gamed locate player/ann
  gamed locate chat/lobby -o json`,
		Args: cobra.ExactArgs(1),
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := a.open(); err != nil {
			return err
		}
		var l admin.Location
		if err := a.get("/api/v1/locate?key="+url.QueryEscape(args[0]), &l); err != nil {
			return err
		}
		return o.print(e.stdout, l, func(out io.Writer) {
			columns(out, "PARTITION\tOWNER\tBACKUP\tTERM", []string{fmt.Sprintf("%d\t%s\t%s\t%d", l.Partition, nobody(l.Owner), nobody(l.Backup), l.Term)})
		})
	})
	return cmd
}
