package command

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newDrain(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move everything away from a node",
		Long: `Empties a node: it takes no new players, its partitions move to the others and its players are told where to go. The process
stays, empty; stop it then. Waits and shows progress; exit code 1 when it is not empty within --timeout.`,
		Example: `  gamed drain gamed-2 && systemctl stop gamed   # on gamed-2`,
		Args:    cobra.ExactArgs(1),
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	timeout := cmd.Flags().Duration("timeout", 2*time.Minute, "how long to wait")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := a.open(); err != nil {
			return err
		}
		return drain(e, a, o, args[0], *timeout)
	})
	return cmd
}

// progress is a line of `gamed drain -o json`.
type progress struct {
	Node       string  `json:"node"`
	Partitions int     `json:"partitions"` // left
	Players    int     `json:"players"`    // left
	Seconds    float64 `json:"seconds"`
	Done       bool    `json:"done"`
}

func drain(e *env, a *api, o *output, node string, timeout time.Duration) error {
	if err := a.post("/api/v1/nodes/" + url.PathEscape(node) + "/drain"); err != nil {
		return err
	}
	ctx, cancel := e.untilSignal()
	defer cancel()
	start := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	last := progress{Partitions: -1}
	for {
		var members []admin.Member
		if err := a.get("/api/v1/members", &members); err != nil {
			return err
		}
		i := slices.IndexFunc(members, func(m admin.Member) bool { return m.Node == node && m.State != "dead" })
		p := progress{Node: node, Done: true, Seconds: time.Since(start).Seconds()}
		if i >= 0 {
			m := members[i]
			p.Partitions, p.Players, p.Done = m.Partitions, m.Players, m.Error == "" && m.Partitions == 0 && m.Players == 0
		}
		if p.Done || p.Partitions != last.Partitions || p.Players != last.Players {
			if err := printProgress(e, o, p); err != nil || p.Done {
				return err
			}
			last = p
		}
		if time.Since(start) > timeout {
			return finding(fmt.Errorf("%s still has %d partitions and %d players after %v: it goes on; look again with gamed members", node, p.Partitions, p.Players, timeout))
		}
		select {
		case <-ctx.Done():
			return finding(fmt.Errorf("interrupted: the drain of %s goes on", node))
		case <-tick.C:
		}
	}
}

func printProgress(e *env, o *output, p progress) error {
	if o.format == "json" {
		return printJSON(e.stdout, p)
	}
	text := fmt.Sprintf("%6.1fs  %d partitions, %d players left", p.Seconds, p.Partitions, p.Players)
	if p.Done {
		text = fmt.Sprintf("%6.1fs  %s is empty", p.Seconds, p.Node)
	}
	_, err := fmt.Fprintln(e.stdout, text)
	return err
}
