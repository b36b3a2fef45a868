// Package command is the command line of gamed. A server with games of its own has a main of one line:
//
//	func main() { os.Exit(command.Main(os.Args[1:], append(games.All(), mine.Game())...)) }
//
// Answers go to standard output, everything else to standard error. Exit codes: 0 fine, 1 a finding (something is wrong, or was
// not there), 2 usage (an option, a port, a name: one line on standard error says what to do), 3 cannot connect.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gamed/game"
	"gamed/internal/config"
)

// Version is what `gamed version` says and nodes tell each other. Set it before Main; empty: the main module's version.
var Version string

// Exit codes.
const (
	exitOK          = 0
	exitFinding     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// Main runs the command line, args without the program's name, and returns the exit code. The games given are what this server
// plays. It handles SIGINT, SIGTERM and SIGHUP and must be called once.
func Main(args []string, games ...game.Game) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	return run(args, &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), signals: signals, games: games, start: startNode})
}

// env is the world of one run.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	signals        <-chan os.Signal
	games          []game.Game
	start          func(nodeOptions) (server, error)
}

// getenv is the variable's value, "" when it is not set.
func (e *env) getenv(key string) string {
	for _, kv := range e.environ {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

// untilSignal is a context that ends with the first SIGINT or SIGTERM.
func (e *env) untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case s := <-e.signals:
				if s != syscall.SIGHUP {
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// exit is an error with its exit code. Without err nothing is printed: the command has said what is wrong.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usage(err error) error       { return &exit{exitUsage, err} }
func unreachable(err error) error { return &exit{exitUnreachable, err} }
func finding(err error) error     { return &exit{exitFinding, err} }

func run(args []string, e *env) int {
	root := newRoot(e)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var ex *exit
	if !errors.As(err, &ex) { // from cobra: arguments it does not understand
		ex = &exit{exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	if ex.err != nil {
		fmt.Fprintln(e.stderr, "gamed: "+oneLine(ex.err.Error()))
	}
	return ex.code
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

func newRoot(e *env) *cobra.Command {
	serve := newServe(e)
	root := &cobra.Command{
		Use:   "gamed",
		Short: "A live-game server that is a cluster out of the box",
		Long: `gamed is a live-game server that is a cluster out of the box: start it on one machine or on twenty, nothing else is needed.
Without a command it serves: "gamed --listen 127.0.0.1:7300" is "gamed serve --listen 127.0.0.1:7300".`,
		Example: `  gamed demo                                   see a cluster of three play, kill a node, split it
  gamed                                        one node; players on 127.0.0.1:7300, console on http://127.0.0.1:7303
  gamed --listen 127.0.0.1:7400 --mesh 127.0.0.1:7401 --gossip 127.0.0.1:7402 --admin 127.0.0.1:7403 --join 127.0.0.1:7302
                                               a second node on the same machine
  gamed play --addr 127.0.0.1:7300 --as ann    play in the terminal
  gamed members                                who is in the cluster`,
		Args:          noSuchCommand,
		RunE:          serve.RunE,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	addConfigFlags(root)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.AddGroup(&cobra.Group{ID: "serve", Title: "Serve:"}, &cobra.Group{ID: "play", Title: "Play:"},
		&cobra.Group{ID: "look", Title: "Look at a cluster:"}, &cobra.Group{ID: "act", Title: "Change a cluster:"})
	group(root, "serve", serve, newConfig(e), newToken(e), newCerts(e), newVersion(e))
	group(root, "play", newDemo(e), newPlay(e), newShow(e))
	group(root, "look", newMembers(e), newTable(e), newLocate(e), newPlayers(e), newPlayer(e), newEvents(e), newConflicts(e), newSupervision(e), newDeadLetters(e), newTop(e), newCheck(e), newHealth(e))
	group(root, "act", newDrain(e), newForget(e), newKick(e), newClose(e))
	return root
}

func group(root *cobra.Command, id string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// noSuchCommand refuses what stands where a command should.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	hint := ""
	if s := config.Suggest(args[0], names); s != "" {
		hint = fmt.Sprintf("; did you mean %s %s?", cmd.CommandPath(), s)
	}
	return usage(fmt.Errorf("there is no command %q%s (see %s --help)", args[0], hint, cmd.CommandPath()))
}

// flagError adds to an unknown flag the one that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := ""
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		if s := config.Suggest(name, flagNames(cmd)); s != "" {
			hint = "; did you mean --" + s + "?"
		}
	}
	return usage(fmt.Errorf("%w%s (see %s --help)", err, hint, cmd.CommandPath()))
}

// action wraps a command's work: an error without an exit code is a finding.
func action(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var ex *exit
		if err == nil || errors.As(err, &ex) {
			return err
		}
		return finding(err)
	}
}

// version is what this program is.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// usageTemplate is cobra's, but the root shows its commands and where its flags are told instead of forty flags.
const usageTemplate = `Usage:
  {{if .HasParent}}{{.UseLine}}{{else}}gamed [command] [flags]{{end}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}
{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if not .AllChildCommandsHaveGroup}}
{{if .HasParent}}Commands:{{else}}More:{{end}}{{range $cmds}}{{if (and (eq .GroupID "") .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if .HasParent}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsagesWrapped 120 | trimTrailingWhitespaces}}
{{end}}{{else}}
The flags of a node: gamed serve --help. Of a command: gamed COMMAND --help.
{{end}}`
