package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newEvents(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "What happened in the cluster",
		Long:  "Shows the events a node remembers, oldest first; with --watch also each new one, as it happens.",
		Args:  cobra.NoArgs,
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	follow := cmd.Flags().BoolP("watch", "w", false, "go on with new events until interrupted")
	after := cmd.Flags().Uint64("after", 0, "only events with a larger `NUMBER`")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := a.open(); err != nil {
			return err
		}
		if *follow {
			ctx, cancel := e.untilSignal()
			defer cancel()
			return a.stream(ctx, fmt.Sprintf("/api/v1/events/stream?after=%d", *after), func(data []byte) (bool, error) {
				var ev admin.Event
				if err := json.Unmarshal(data, &ev); err != nil {
					return false, fmt.Errorf("read event: %w", err)
				}
				return true, o.print(e.stdout, ev, func(out io.Writer) { printEvent(out, ev) })
			})
		}
		var list []admin.Event
		if err := a.get(fmt.Sprintf("/api/v1/events?after=%d", *after), &list); err != nil {
			return err
		}
		return o.print(e.stdout, list, func(out io.Writer) {
			for _, ev := range list {
				printEvent(out, ev)
			}
		})
	})
	return cmd
}

func printEvent(out io.Writer, ev admin.Event) {
	fmt.Fprintf(out, "%6d  %s  %-18s %-12s %s\n", ev.Seq, ev.Time.Local().Format("15:04:05.000"), ev.Kind, ev.Node, ev.Text)
}

func newTop(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Load of the cluster, live",
		Long:  "Shows each second what one node does and what it knows of the others. With -o json one object a line.",
		Args:  cobra.NoArgs,
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	count := cmd.Flags().Int("count", 0, "end after `N` seconds (0: when interrupted)")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := a.open(); err != nil {
			return err
		}
		ctx, cancel := e.untilSignal()
		defer cancel()
		var before admin.Stats
		seen := 0
		return a.stream(ctx, "/api/v1/stats/stream", func(data []byte) (bool, error) {
			var s admin.Stats
			if err := json.Unmarshal(data, &s); err != nil {
				return false, fmt.Errorf("read numbers: %w", err)
			}
			err := o.print(e.stdout, s, func(out io.Writer) {
				var page strings.Builder
				if isTerminal(e.stdout) {
					page.WriteString(clearScreen)
				}
				printStats(&page, before, s)
				_, _ = io.WriteString(out, page.String())
			})
			before, seen = s, seen+1
			return err == nil && (*count == 0 || seen < *count), err
		})
	})
	return cmd
}

func printStats(out io.Writer, before, s admin.Stats) {
	state := ""
	if s.Degraded {
		state = "  DEGRADED"
	}
	rate := func(was, is uint64) string {
		took := s.Time.Sub(before.Time)
		if before.Time.IsZero() || took <= 0 || is < was {
			return "-"
		}
		return fmt.Sprintf("%.0f/s", float64(is-was)*float64(time.Second)/float64(took))
	}
	fmt.Fprintf(out, "%s  %s  term %d%s\n", s.Time.Local().Format("15:04:05"), s.Node, s.Term, state)
	fmt.Fprintf(out, "sockets %d  sessions %d  entities %d  calls %s  pushes %s  forwarded %s  failed %s\n\n", s.Connections, s.Sessions, s.Entities,
		rate(before.Calls, s.Calls), rate(before.Pushes, s.Pushes), rate(before.Forwarded, s.Forwarded), rate(before.Failed, s.Failed))
	rows := make([]string, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%.2fms\t%d\t%d\t%d", n.Node, n.State, n.RTT, n.Partitions, n.Connections, n.Sessions))
	}
	columns(out, "NODE\tSTATE\tRTT\tPARTITIONS\tSOCKETS\tSESSIONS", rows)
	fmt.Fprintln(out)
}
