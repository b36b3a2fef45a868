package command

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gamed/client"
	"gamed/game"
	"gamed/games/trivia"
	"gamed/internal/auth"
	"gamed/internal/config"
	"gamed/protocol"
)

// login is the flags of a command that speaks as a player.
type login struct {
	addrs            []string
	name             string
	token, tokenFile string
	tls              bool
	ca               string
}

func addLogin(cmd *cobra.Command, flag, name string) *login {
	l := &login{}
	cmd.Flags().StringSliceVar(&l.addrs, "addr", []string{"127.0.0.1:7300"}, "players' `HOST:PORT` of any node; several help when one is down")
	cmd.Flags().StringVar(&l.name, flag, name, "`NAME` of the player")
	cmd.Flags().StringVar(&l.token, "token", "", "`TOKEN` where the server asks for one (seen by others in the list of processes: prefer --token-file)")
	cmd.Flags().StringVar(&l.tokenFile, "token-file", "", "`FILE` that holds the token")
	cmd.Flags().BoolVar(&l.tls, "tls", false, "speak TLS; the node's certificate must be for the host in --addr")
	cmd.Flags().StringVar(&l.ca, "tls-ca", "", "`FILE` with the CA that the node's certificate comes from, instead of the system's (implies --tls)")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	return l
}

// dialTimeout is how long the first log-in may take, a fail-over that is under way included.
const dialTimeout = 6 * time.Second

// options judges the flags.
func (l *login) options() (client.Options, error) {
	opt := client.Options{DialTimeout: dialTimeout}
	if l.tls || l.ca != "" {
		opt.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	}
	if l.ca != "" {
		var err error
		if opt.TLS.RootCAs, err = auth.LoadCA(l.ca); err != nil {
			return client.Options{}, usage(fmt.Errorf("--tls-ca: %w", err))
		}
	}
	if l.tokenFile != "" {
		token, err := config.ReadSecret(l.tokenFile)
		if err != nil {
			return client.Options{}, usage(fmt.Errorf("--token-file: %w", err))
		}
		l.token = token
	}
	if l.token != "" {
		opt.Token = l.token
		return opt, nil
	}
	if !protocol.ValidPlayer(l.name) {
		return client.Options{}, usage(fmt.Errorf("player name %q: want 1 to 64 of A-Z a-z 0-9 _ . -", l.name))
	}
	opt.Name = l.name
	return opt, nil
}

func newShow(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Host a quiz show",
		Args:  noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage(fmt.Errorf("say what to do: gamed show run TOPIC FILE (see %s --help)", cmd.CommandPath()))
		},
	}
	cmd.AddCommand(newShowRun(e))
	return cmd
}

func newShowRun(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run TOPIC FILE",
		Short: "Open a show, start it and follow it to its end",
		Long: `Hosts a show in the room trivia:TOPIC with the questions of a JSON file (- for standard input):

  {"questions": [{"text": "Which is the largest ocean?", "choices": ["Atlantic", "Pacific", "Indian"], "answer": 1, "seconds": 10}],
   "prize": 1000, "pause": 3}

or only the list of questions. answer is the index of the right choice, from 0; seconds 0.5 to 120 (10 when left out). Prints questions,
results and winners as they come. The host only watches.`,
		Example: `  gamed show run friday questions.json --wait-players 2 --prize 1000
  gamed show run --addr 10.0.0.1:7300,10.0.0.2:7300 --token-file host.token friday questions.json -o json`,
		Args: cobra.ExactArgs(2),
	}
	l, o := addLogin(cmd, "as", "host"), addOutput(cmd)
	prize := cmd.Flags().Int64("prize", 0, "what the winners share (default: the file's)")
	pause := cmd.Flags().Duration("pause", 0, "between a result and what follows it (default: the file's, or 3s)")
	wait := cmd.Flags().Int("wait-players", 0, "start when `N` players have joined")
	timeout := cmd.Flags().Duration("wait-timeout", 0, "give up waiting for players after this (0: never)")
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		opt, err := l.options()
		if err = errors.Join(o.check(), err); err != nil {
			return err
		}
		topic := args[0]
		if !strings.Contains(topic, ":") {
			topic = "trivia:" + topic
		}
		if !protocol.ValidTopic(topic) || *wait < 0 {
			return usage(fmt.Errorf("topic %q: want a name of A-Z a-z 0-9 _ . - such as friday, and --wait-players from 0", args[0]))
		}
		show, err := readShow(args[1], e.stdin)
		if err != nil {
			return usage(err)
		}
		if cmd.Flags().Changed("prize") {
			show.Prize = *prize
		}
		if cmd.Flags().Changed("pause") {
			show.Pause = pause.Seconds()
		}
		if show.Prize < 0 || show.Prize > trivia.MaxPrize || show.Pause < 0 || show.Pause > trivia.MaxPause {
			return usage(fmt.Errorf("--prize %d, --pause %vs: want 0 to %d and 0 to %ds", show.Prize, show.Pause, int64(trivia.MaxPrize), trivia.MaxPause))
		}
		ctx, cancel := e.untilSignal()
		defer cancel()
		h := &host{addrs: l.addrs, opt: opt, topic: topic, show: show, wait: *wait, waitLimit: *timeout,
			note: func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }}
		h.tell = func(event string, p game.Payload) {
			if o.format == "json" {
				_ = printJSON(e.stdout, showLine{topic, event, jsonOf(p)})
				return
			}
			fmt.Fprintln(e.stdout, describe(topic, event, p))
		}
		return h.run(ctx)
	})
	return cmd
}

// showLine is a line of `show run -o json`.
type showLine struct {
	Topic   string          `json:"topic"`
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
}
