package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"syscall"

	"github.com/spf13/cobra"

	"gamed/internal/cluster"
	"gamed/internal/config"
)

func newServe(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node (also without a command)",
		Long: `Runs one node, everything embedded. As soon as the ports are bound the first line on standard output tells the addresses:
{"ready":true,"node","players","mesh","gossip","admin"}; the log goes to standard error. Port 0 picks a free port.

SIGTERM or SIGINT: players and partitions move to the other nodes, then it exits with 0 (1 when --drain-timeout passed first); a
second one exits at once. SIGHUP reads the settings again, of which --log-level takes effect, and all keys, certificates and tokens;
those are also read again within seconds when their files change.

Each flag is also an environment variable (--log-level: GAMED_LOG_LEVEL) and a YAML key (log-level: debug) in the file named by
--config or GAMED_CONFIG. "gamed config" shows the outcome.`,
		Example: `  gamed serve --listen 127.0.0.1:0 --admin 127.0.0.1:0
  gamed serve --node b --listen 127.0.0.1:7400 --mesh 127.0.0.1:7401 --gossip 127.0.0.1:7402 --admin 127.0.0.1:7403 --join 127.0.0.1:7302
  GAMED_JOIN=dns+gamed:7302 GAMED_EXPECT=3 GAMED_INSECURE=true gamed serve --listen 0.0.0.0 --mesh 0.0.0.0 --gossip 0.0.0.0`,
		Args: cobra.NoArgs,
	}
	addConfigFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		in, l, err := loadConfig(cmd, e)
		if err != nil {
			return err
		}
		return serve(e, in, l)
	})
	return cmd
}

func serve(e *env, in config.Input, l *config.Loaded) error {
	cfg := l.Config
	cfg.Node = cfg.NodeName()
	level := new(slog.LevelVar)
	level.Set(logLevel(cfg.LogLevel))
	log := newLogger(e.stderr, cfg.LogFormat, level)
	n, err := e.start(nodeOptions{Config: cfg, Games: e.games, Log: log})
	if err != nil {
		return usage(err)
	}
	logLimits(log)
	a := n.Addrs()
	a.Ready = true
	if err := printJSON(e.stdout, a); err != nil {
		n.Kill()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopping := false
	for {
		select {
		case err := <-done:
			switch {
			case err == nil:
				return nil
			case stopping:
				return finding(fmt.Errorf("stopped before everything was moved: %w", err))
			case errors.Is(err, cluster.ErrDuplicate):
				return usage(err)
			}
			return finding(err)
		case s := <-e.signals:
			switch {
			case s == syscall.SIGHUP:
				reload(log, level, in, l)
				_ = n.Reload() // what was wrong is in the log
			case stopping:
				log.Warn("stopping now", "signal", s.String())
				n.Kill()
				return finding(errors.New("stopped at once: a second signal came before everything was moved"))
			default:
				log.Info("stopping", "signal", s.String(), "drain_timeout", cfg.DrainTimeout)
				stopping = true
				cancel()
			}
		}
	}
}

// reload reads the settings again. Those that cannot change while the node runs are named in the log.
func reload(log *slog.Logger, level *slog.LevelVar, in config.Input, l *config.Loaded) {
	fresh, err := config.Load(in)
	if err != nil {
		log.Error("settings not read again", "err", err)
		return
	}
	var restart []string
	for _, f := range config.Fields() {
		if f.Key != "log-level" && !reflect.DeepEqual(f.Value(&fresh.Config), f.Value(&l.Config)) {
			restart = append(restart, f.Key)
		}
	}
	level.Set(logLevel(fresh.LogLevel))
	log.Info("settings read again", "log_level", fresh.LogLevel, "need_restart", restart)
}

func logLevel(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo // not reached: config has judged the name
	}
	return l
}

func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// logLimits tells how many files may be open: each player's socket is one.
func logLimits(log *slog.Logger) {
	if n, ok := openFiles(); ok {
		log.Info("limits", "open_files", n, "pid", os.Getpid())
	}
}
