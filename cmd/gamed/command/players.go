package command

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
)

func newPlayers(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "players",
		Short: "The players of the cluster",
		Long:  "Lists players of all nodes, a page at a time; --cursor continues where the last page ended, --all takes all pages.",
		Args:  cobra.NoArgs,
	}
	a, o := addAPI(cmd, e), addOutput(cmd)
	cursor := cmd.Flags().String("cursor", "", "begin after this `CURSOR`, as the last page gave it")
	limit := cmd.Flags().Int("limit", 100, "rows a page, at most 1000")
	all := cmd.Flags().Bool("all", false, "all pages")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if *limit < 1 || *limit > 1000 {
			return usage(fmt.Errorf("--limit %d: want 1 to 1000", *limit))
		}
		if err := a.open(); err != nil {
			return err
		}
		sum := admin.PlayersPage{Players: []admin.PlayerRow{}, Cursor: *cursor}
		for more := true; more; more = *all && sum.Cursor != "" {
			var page admin.PlayersPage
			if err := a.get("/api/v1/players?limit="+strconv.Itoa(*limit)+"&cursor="+url.QueryEscape(sum.Cursor), &page); err != nil {
				return err
			}
			sum.Players, sum.Cursor = append(sum.Players, page.Players...), page.Cursor
			sum.Errors = append(sum.Errors, page.Errors...)
		}
		return o.print(e.stdout, sum, func(out io.Writer) { printPlayers(out, sum) })
	})
	return cmd
}

func printPlayers(out io.Writer, page admin.PlayersPage) {
	rows := make([]string, 0, len(page.Players))
	for _, p := range page.Players {
		gateway := p.Gateway
		if gateway == "" {
			gateway = "(away)"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d", p.Player, p.Owner, gateway, p.Topics))
	}
	columns(out, "PLAYER\tOWNER\tGATEWAY\tTOPICS", rows)
	for _, e := range page.Errors {
		fmt.Fprintln(out, "incomplete:", e)
	}
	if page.Cursor != "" {
		fmt.Fprintf(out, "more: gamed players --cursor %s\n", page.Cursor)
	}
}

func newPlayer(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "player ID",
		Short: "One player",
		Long:  "Shows where a player lives and is connected, what waits in the mailbox, the last refs and the topics.",
		Args:  cobra.ExactArgs(1),
	}
	a, o, w := addAPI(cmd, e), addOutput(cmd), addWatch(cmd)
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := a.open(); err != nil {
			return err
		}
		return w.repeat(e, o, func(out io.Writer) error {
			var p admin.Player
			if err := a.get("/api/v1/players/"+url.PathEscape(args[0]), &p); err != nil {
				return err
			}
			return o.print(out, p, func(out io.Writer) {
				refs := make([]string, len(p.Refs))
				for i, r := range p.Refs {
					refs[i] = strconv.FormatUint(r, 10)
				}
				columns(out, "player\t"+p.Player, []string{"owner\t" + nobody(p.Owner), "backup\t" + nobody(p.Backup), "gateway\t" + p.Gateway,
					"session\t" + p.Session + "…", "mailbox\t" + strconv.Itoa(p.Mailbox), "last refs\t" + strings.Join(refs, " "),
					"topics\t" + strings.Join(p.Topics, " ")})
			})
		})
	})
	return cmd
}

func newKick(e *env) *cobra.Command {
	return change(e, "kick PLAYER", "End a player's session", "Ends the session: the player leaves all topics, the socket gets GOAWAY kicked.",
		func(id string) string { return "/api/v1/players/" + url.PathEscape(id) + "/kick" })
}

func newClose(e *env) *cobra.Command {
	return change(e, "close TOPIC", "Close a room", "Ends a room such as chat:lobby: its members leave it and its state is dropped.",
		func(id string) string { return "/api/v1/rooms/" + url.PathEscape(id) + "/close" })
}

// change is a command that does one POST.
func change(e *env, use, short, long string, path func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ExactArgs(1)}
	a := addAPI(cmd, e)
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := a.open(); err != nil {
			return err
		}
		return a.post(path(args[0]))
	})
	return cmd
}
