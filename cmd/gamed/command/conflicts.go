package command

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newConflicts(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conflicts [ID]",
		Short: "What two sides of a split had both changed",
		Long: `Lists players and rooms that were changed on both sides of a split, the newest first: whose copy stayed, and what could not be
merged. With an ID it shows both copies, as they were before they were merged; -o json has their bytes as well. Each node keeps the
last 1,000 of its own, up to 64 MiB, in memory.`,
		Example: `  gamed conflicts                          what the last splits did
  gamed conflicts 3-gamed-2                both copies of one
  gamed conflicts 3-gamed-2 -o json        with their bytes`,
		Args: cobra.MaximumNArgs(1),
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	cursor := cmd.Flags().String("cursor", "", "begin after this `CURSOR`, as the last page gave it")
	limit := cmd.Flags().Int("limit", 100, "rows a page, at most 1000")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if *limit < 1 || *limit > 1000 {
			return usage(fmt.Errorf("--limit %d: want 1 to 1000", *limit))
		}
		if err := a.open(); err != nil {
			return err
		}
		if len(args) > 0 {
			var c admin.ConflictCopies
			if err := a.get("/api/v1/conflicts/"+url.PathEscape(args[0]), &c); err != nil {
				return err
			}
			return o.print(e.stdout, c, func(out io.Writer) { printConflict(out, c) })
		}
		var page admin.ConflictsPage
		if err := a.get("/api/v1/conflicts?limit="+strconv.Itoa(*limit)+"&cursor="+url.QueryEscape(*cursor), &page); err != nil {
			return err
		}
		return o.print(e.stdout, page, func(out io.Writer) { printConflicts(out, page) })
	})
	return cmd
}

func printConflicts(out io.Writer, page admin.ConflictsPage) {
	rows := make([]string, 0, len(page.Conflicts))
	for _, c := range page.Conflicts {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", c.ID, c.Time.Local().Format(time.DateTime), c.Key, c.Winner, c.Loser, strings.Join(c.Notes, "; ")))
	}
	columns(out, "ID\tTIME\tKEY\tSTAYED\tYIELDED\tNOTES", rows)
	if page.Dropped > 0 {
		fmt.Fprintf(out, "%d older ones are not kept any more\n", page.Dropped)
	}
	for _, e := range page.Errors {
		fmt.Fprintln(out, "incomplete:", e)
	}
	if page.Cursor != "" {
		fmt.Fprintf(out, "more: gamed conflicts --cursor %s\n", page.Cursor)
	}
}

func printConflict(out io.Writer, c admin.ConflictCopies) {
	columns(out, "conflict\t"+c.ID, []string{"key\t" + c.Key, "time\t" + c.Time.Local().Format(time.DateTime), "stayed\t" + c.Winner, "yielded\t" + c.Loser,
		"notes\t" + strings.Join(c.Notes, "; ")})
	for _, side := range []struct {
		node string
		copy admin.Copy
	}{{c.Winner, c.Kept}, {c.Loser, c.Lost}} {
		spoke := "the client changed nothing during the split"
		if side.copy.Spoke != nil {
			spoke = "the client changed something last at " + side.copy.Spoke.Local().Format("15:04:05.000")
		}
		fmt.Fprintf(out, "\nthe copy of %s (%s)\n", side.node, spoke)
		rows := make([]string, 0, len(side.copy.Sections))
		for _, s := range side.copy.Sections {
			rows = append(rows, fmt.Sprintf("%s\t%d\t%s", strings.Join(strings.Fields(s.Name), " "), s.Bytes, s.Value))
		}
		columns(out, "SECTION\tBYTES\tVALUE", rows)
	}
}

func newForget(e *env) *cobra.Command {
	return change(e, "forget NODE", "Give up a node that is missing", `Nobody waits for the node any more. Partitions that only missing nodes had begin anew, empty, once all who had them are
forgotten; what was in them is lost. A node that lives cannot be forgotten: drain and stop it.`,
		func(id string) string { return "/api/v1/nodes/" + url.PathEscape(id) + "/forget" })
}
