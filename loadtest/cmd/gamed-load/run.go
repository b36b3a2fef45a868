package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"gamed/loadtest"
)

const (
	exitOK     = 0
	exitBroken = 1
	exitUsage  = 2
)

// errBroken: the report has said it.
var errBroken = errors.New("a promise was broken")

// run is the command line, args without the program's name. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := &site{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "gamed-load",
		Short: "Play swarms against real nodes and judge what they were told",
		Example: `  gamed-load show                                  three nodes, 1,000 players, 28 questions
  gamed-load show --kill-node-at 5 --kill home     and the room's home is killed in the fifth
  gamed-load show --addr 127.0.0.1:7300,127.0.0.1:7310 --players 200
  gamed-load bank --kills 3                        deposits while nodes die`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	f := root.PersistentFlags()
	f.StringSliceVar(&s.addrs, "addr", nil, "players' `HOST:PORT` of nodes that run already; default: start some on free ports of loopback")
	f.StringVar(&s.binary, "gamed", "", "the `FILE` to start nodes from (default: built from the tree)")
	f.IntVar(&s.count, "nodes", 3, "how many nodes to start")
	f.StringArrayVar(&s.args, "node-arg", nil, "further `FLAG` of each node, such as --dispatch=single; repeat for more")
	f.StringVar(&s.logDir, "log-dir", "", "`FOLDER` for the nodes' logs (default: not kept)")
	f.StringVarP(&s.output, "output", "o", "text", "text or json")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "log every connection of every player")
	root.AddCommand(newShow(s), newBank(s))
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errBroken):
		return exitBroken
	}
	fmt.Fprintln(stderr, "gamed-load:", err)
	return exitUsage
}

func newShow(s *site) *cobra.Command {
	var o loadtest.ShowOptions
	var history string
	cmd := &cobra.Command{Use: "show", Short: "A quiz show: counts, verdicts, winners and money must be exact", Args: cobra.NoArgs}
	f := cmd.Flags()
	f.IntVar(&o.Players, "players", 1000, "how many players")
	f.StringVar(&o.Set, "set", "general", "questions in the box")
	f.IntVar(&o.Questions, "questions", 0, "how many of them (default: all)")
	f.Float64Var(&o.Seconds, "seconds", 1.5, "how long each question is open")
	f.Float64Var(&o.Pause, "pause", 0.1, "seconds after a result")
	f.Int64Var(&o.Prize, "prize", 1_000_000, "what the winners share")
	f.IntVar(&o.KillAt, "kill-node-at", 0, "kill a node in the middle of question `Q`")
	f.StringVar(&o.Kill, "kill", "home", "whom: home (of the room), backup (its), other, or a node's name (a, b, …)")
	f.Float64Var(&o.KillSeconds, "kill-seconds", 6, "how long that question is open")
	f.Float64Var(&o.KillMoment, "kill-moment", 0.4, "when, as a part of that time; above 1: after it closed")
	f.BoolVar(&o.KillResult, "kill-at-result", false, "instead: when the first player hears its result")
	f.Uint64Var(&o.Seed, "seed", 0, "of what the players do (default: random)")
	f.StringVar(&history, "history", "", "`FILE` that gets what happened to each player")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if history != "" {
			f, err := os.Create(history)
			if err != nil {
				return fmt.Errorf("--history: %w", err)
			}
			defer f.Close()
			o.History = f
		}
		return s.play(cmd.Context(), func(n *loadtest.Nodes, log *slog.Logger) (*loadtest.Report, error) {
			o.Nodes, o.Addrs, o.Logger = n, s.addrs, log
			return loadtest.Show(cmd.Context(), o)
		})
	}
	return cmd
}

func newBank(s *site) *cobra.Command {
	var o loadtest.BankOptions
	cmd := &cobra.Command{Use: "bank", Short: "Deposits through broken connections and dying nodes: every account must be exact", Args: cobra.NoArgs}
	f := cmd.Flags()
	f.IntVar(&o.Players, "players", 200, "how many players")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long they deposit (default 15s, or as long as the kills take)")
	f.IntVar(&o.Kills, "kills", 0, "how many nodes die meanwhile; each comes back")
	f.DurationVar(&o.Break, "break", 0, "mean time between breaks of a player's connection (default 2s)")
	f.Uint64Var(&o.Seed, "seed", 0, "of what the players do (default: random)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return s.play(cmd.Context(), func(n *loadtest.Nodes, log *slog.Logger) (*loadtest.Report, error) {
			o.Nodes, o.Addrs, o.Logger = n, s.addrs, log
			return loadtest.Bank(cmd.Context(), o)
		})
	}
	return cmd
}

// site is what is played against, and where the report goes.
type site struct {
	stdout, stderr io.Writer
	addrs, args    []string
	binary, logDir string
	count          int
	output         string
	verbose        bool
}

// play starts the nodes if need be, plays, reports and ends the nodes.
func (s *site) play(ctx context.Context, scenario func(*loadtest.Nodes, *slog.Logger) (*loadtest.Report, error)) (err error) {
	if s.output != "text" && s.output != "json" {
		return fmt.Errorf("--output %s: want text or json", s.output)
	}
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: level}))
	var n *loadtest.Nodes
	if len(s.addrs) == 0 {
		if s.binary == "" {
			dir, err := os.MkdirTemp("", "gamed-load")
			if err != nil {
				return fmt.Errorf("build gamed: %w", err)
			}
			defer os.RemoveAll(dir)
			if s.binary, err = loadtest.Build(ctx, dir); err != nil {
				return err
			}
		}
		if n, err = loadtest.StartNodes(ctx, loadtest.NodesOptions{Binary: s.binary, Count: s.count, Args: s.args, LogDir: s.logDir, Logger: log}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.Close()) }()
	}
	r, err := scenario(n, log)
	if err != nil {
		return err
	}
	write := r.WriteText
	if s.output == "json" {
		write = r.WriteJSON
	}
	if err := write(s.stdout); err != nil {
		return err
	}
	if !r.OK {
		return errBroken
	}
	return nil
}
