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

func newSupervision(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "supervision",
		Short: "Workers of all nodes: restarts, who blocks them, who is in quarantine",
		Long: `Shows the supervision tree: each node, its workers, and the entities in quarantine. A worker is seen from outside, so one that is
blocked is shown, too:

  fine      it goes on
  slow      it has been with one message for 100 ms: it is in the log, with the stack
  stuck     for 1 s: who calls entities of this worker is told busy at once
  blocked   for 10 s: the node is not ready
  resting   it died too often: the node drains itself

An entity that panics five times in ten seconds is in quarantine for 1 s, then 2 s, 4 s, up to 5 min: its callers are told unavailable.
With --dispatch per-player only workers that are something to look at are shown. Exit code 1: there is something to look at.`,
		Example: `  gamed supervision                 the tree, once
  gamed supervision --watch 1s      again and again
  gamed deadletters                 which messages failed, and why`,
		Args: cobra.NoArgs,
	}
	a, o, w := addAPI(cmd, e), addOutput(cmd), addWatch(cmd)
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := a.open(); err != nil {
			return err
		}
		found := false
		err := w.repeat(e, o, func(out io.Writer) error {
			var s admin.Supervision
			if err := a.get("/api/v1/supervision", &s); err != nil {
				return err
			}
			found = troubled(s)
			return o.print(out, s, func(out io.Writer) { printSupervision(out, s) })
		})
		if err == nil && found && w.every == 0 {
			return finding(nil)
		}
		return err
	})
	return cmd
}

// troubled says whether a worker is stuck, an entity in quarantine, or a node silent.
func troubled(s admin.Supervision) bool {
	for _, n := range s.Nodes {
		if n.Error != "" || len(n.Quarantined) > 0 {
			return true
		}
		for _, w := range n.Workers {
			if w.State != "fine" && w.State != "slow" {
				return true
			}
		}
	}
	return false
}

func printSupervision(out io.Writer, s admin.Supervision) {
	var rows []string
	for _, n := range s.Nodes {
		if n.Error != "" {
			rows = append(rows, n.Node+"\tdoes not answer: "+n.Error)
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t\t\t%d dead letters, %d quarantines so far", n.Node, n.Dispatch, n.Entities, n.DeadLetters, n.Quarantines))
		for _, w := range n.Workers {
			with := ""
			if w.RunningMS > 0 {
				with = fmt.Sprintf("%s (%s) for %v", w.Key, w.What, (time.Duration(w.RunningMS) * time.Millisecond).Round(10*time.Millisecond))
			}
			rows = append(rows, fmt.Sprintf("  worker %s\t%s\t%d\t%d\t%d\t%s", w.Worker, w.State, w.Entities, w.Mailbox, w.Restarts, with))
		}
		for _, q := range n.Quarantined {
			rows = append(rows, fmt.Sprintf("  %s\tquarantined\t\t\t\tfor another %v", q.Key, (time.Duration(q.LeftMS)*time.Millisecond).Round(100*time.Millisecond)))
		}
	}
	columns(out, "NODE\tSTATE\tENTITIES\tMAILBOX\tRESTARTS\tWITH", rows)
}

func newDeadLetters(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters [NODE]",
		Short: "Messages whose handler panicked",
		Long: `Lists messages whose handler panicked, the newest first, of one node or of all: the entity, kind, topic and event, the size of the
payload (its bytes are not kept: they may hold secrets), and the panic. A failed message changed nothing; its entity went on from its
last committed state. Each node keeps its last 1,000 in memory; -o json has the stacks of the newest.`,
		Example: `  gamed deadletters                             of all nodes
  gamed deadletters gamed-2 --limit 5 -o json   of one, with stacks`,
		Args: cobra.MaximumNArgs(1),
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	limit := cmd.Flags().Int("limit", 100, "rows, at most 1000")
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
		var page admin.DeadLettersPage
		if err := a.get("/api/v1/deadletters?limit="+strconv.Itoa(*limit)+"&node="+url.QueryEscape(strings.Join(args, "")), &page); err != nil {
			return err
		}
		return o.print(e.stdout, page, func(out io.Writer) { printDeadLetters(out, page) })
	})
	return cmd
}

func printDeadLetters(out io.Writer, page admin.DeadLettersPage) {
	rows := make([]string, 0, len(page.DeadLetters))
	for _, l := range page.DeadLetters {
		banned := ""
		if l.Quarantined != nil {
			banned = "for " + l.Quarantined.Sub(l.Time).Round(time.Second).String()
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s", l.Time.Local().Format(time.DateTime), l.Node, l.Key, oneLine(l.What), l.Bytes, banned, oneLine(l.Cause)))
	}
	columns(out, "TIME\tNODE\tKEY\tWHAT\tBYTES\tQUARANTINED\tCAUSE", rows)
	if page.Total > uint64(len(rows)) {
		fmt.Fprintf(out, "%d in all\n", page.Total)
	}
	for _, e := range page.Errors {
		fmt.Fprintln(out, "incomplete:", e)
	}
}
