package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newCheck(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Is the cluster well? (exit code 1 when not)",
		Long: `Looks at readiness, members and the table of one node and lists what is wrong: a node that is not alive or does not answer, a
partition without owner or without backup, an owner that is not a living member, a limit of which 85 % are taken. Then it shows the
limits of that node.`,
		Args: cobra.NoArgs,
	}
	a, o, w := addAPI(cmd, e), addOutput(cmd), addWatch(cmd)
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := a.open(); err != nil {
			return err
		}
		found := false
		err := w.repeat(e, o, func(out io.Writer) error {
			var (
				ready   admin.Readiness
				members []admin.Member
				table   admin.Table
				limits  []admin.Limit
			)
			for path, v := range map[string]any{"/readyz": &ready, "/api/v1/members": &members, "/api/v1/table": &table, "/api/v1/limits": &limits} {
				if err := a.get(path, v); err != nil {
					return err
				}
			}
			findings := append(examine(ready, members, table), nearlyFull(limits)...)
			found = len(findings) > 0
			return o.print(out, map[string]any{"ok": !found, "findings": findings, "limits": limits}, func(out io.Writer) {
				for _, f := range findings {
					fmt.Fprintln(out, "✗", f)
				}
				if !found {
					fmt.Fprintf(out, "✓ %d nodes, %d partitions owned, term %d\n", len(members), len(table.Partitions), table.Term)
				}
				showLimits(out, limits)
			})
		})
		if err == nil && found {
			err = finding(nil)
		}
		return err
	})
	return cmd
}

// examine lists what is wrong, never nil.
func examine(ready admin.Readiness, members []admin.Member, table admin.Table) []string {
	found := []string{}
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !ready.Ready {
		say("the node asked is not ready: %s", strings.Join(ready.Reasons, "; "))
	}
	for _, d := range ready.Degraded {
		say("degraded: %s", d)
	}
	alive := map[string]bool{}
	for _, m := range members {
		alive[m.Node] = alive[m.Node] || m.State == "alive" || m.State == "draining"
		switch {
		case m.Error != "":
			say("node %s (%s): %s", m.Node, m.State, m.Error)
		case m.State != "alive":
			say("node %s is %s", m.Node, m.State)
		}
	}
	living := 0
	for _, up := range alive {
		if up {
			living++
		}
	}
	var nobody, alone []int
	strange := map[string]int{}
	for i, p := range table.Partitions {
		if p.Owner == "" {
			nobody = append(nobody, i)
		} else if !alive[p.Owner] {
			strange[p.Owner]++
		}
		if p.Backup == "" || !alive[p.Backup] {
			alone = append(alone, i)
		}
	}
	if len(table.Partitions) == 0 {
		say("the node asked knows no table")
	}
	if len(nobody) > 0 {
		say("%s without an owner: %s", plural(int64(len(nobody)), "partition"), first(nobody))
	}
	for _, node := range slices.Sorted(maps.Keys(strange)) {
		say("%s owned by %s, which is not alive", plural(int64(strange[node]), "partition"), node)
	}
	if len(alone) > 0 && living > 1 {
		say("%s without a living backup: %s", plural(int64(len(alone)), "partition"), first(alone))
	}
	return found
}

// first shows the beginning of a list of partitions.
func first(list []int) string {
	text := fmt.Sprint(list[:min(len(list), 5)])
	if len(list) > 5 {
		text = strings.TrimSuffix(text, "]") + " …]"
	}
	return text
}

func newHealth(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Does the local node take players? (for container health checks)",
		Long:  "Asks /readyz: exit code 0 when the node takes players, 1 with the reasons when not, 3 when it does not answer.",
		Args:  cobra.NoArgs,
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := errors.Join(o.check(), a.open()); err != nil {
			return err
		}
		var r admin.Readiness
		if err := a.get("/readyz", &r); err != nil {
			return err
		}
		err := o.print(e.stdout, r, func(out io.Writer) {
			if r.Ready {
				fmt.Fprintln(out, "ready")
			} else {
				fmt.Fprintln(out, "not ready:", strings.Join(r.Reasons, "; "))
			}
			for _, d := range r.Degraded {
				fmt.Fprintln(out, "degraded:", d)
			}
		})
		if err == nil && !r.Ready {
			err = finding(nil)
		}
		return err
	})
	return cmd
}
