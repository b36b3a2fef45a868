package command

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gamed/game"
	"gamed/games"
	"gamed/internal/config"
)

// demoTopic is the room the bots play in.
const demoTopic = "trivia:demo"

func newDemo(e *env) *cobra.Command {
	opt := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a cluster play: nodes, bots and a quiz in this process",
		Long: `Starts nodes in one process on free ports of this machine, bots that play a quiz show after show through all of them, and a
prompt to disturb them: kill 2, split 1|23, heal, add, drain 2, status, quit. Each node has its console. You can play along:
gamed play --addr ADDRESS --as you --join trivia:demo.

Commands are read from standard input also when that is no terminal. At its end the demo finishes the running show and quits, so
"gamed demo < /dev/null" shows one show.`,
		Example: `  gamed demo
  (sleep 5; echo kill 2; sleep 5; echo status) | gamed demo --nodes 5`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().IntVar(&opt.nodes, "nodes", 3, "how many nodes to begin with")
	cmd.Flags().IntVar(&opt.bots, "bots", 24, "how many bots play")
	cmd.Flags().IntVar(&opt.questions, "questions", 5, "questions a show")
	cmd.Flags().DurationVar(&opt.answering, "seconds", 3*time.Second, "time to answer a question")
	cmd.Flags().DurationVar(&opt.pause, "pause", time.Second, "between a result and what follows")
	cmd.Flags().StringVar(&opt.logLevel, "log-level", "off", "log of the nodes, on standard error: off, debug, info, warn or error")
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := opt.check(); err != nil {
			return usage(err)
		}
		ctx, cancel := e.untilSignal()
		defer cancel()
		return newDemoRun(e, opt).run(ctx)
	})
	return cmd
}

type demoOptions struct {
	nodes, bots, questions int
	answering, pause       time.Duration
	logLevel               string
}

func (o demoOptions) check() error {
	for _, n := range []struct {
		flag     string
		v        int
		min, max int
	}{{"nodes", o.nodes, 1, 20}, {"bots", o.bots, 0, 1000}, {"questions", o.questions, 1, 100}} {
		if n.v < n.min || n.v > n.max {
			return fmt.Errorf("--%s %d: want %d to %d", n.flag, n.v, n.min, n.max)
		}
	}
	if o.answering < 500*time.Millisecond || o.answering > 2*time.Minute {
		return fmt.Errorf("--seconds %v: want 500ms to 2m", o.answering)
	}
	if o.pause < 0 || o.pause > time.Minute {
		return fmt.Errorf("--pause %v: want 0 to 1m", o.pause)
	}
	return nil
}

// demo is a cluster in this process. Its nodes are changed by the prompt's goroutine only.
type demo struct {
	env   *env
	opt   demoOptions
	log   *slog.Logger
	all   []game.Game
	bots  []*bot
	right map[string]int // the answer to each question's text

	sides [][]*demoNode // of the split there is; of the prompt's goroutine

	outMu sync.Mutex // guards env.stdout

	mu    sync.Mutex // guards nodes; taken to change it and to read it elsewhere
	nodes []*demoNode
}

// demoNode is one node of a demo.
type demoNode struct {
	n      int // as the prompt calls it
	addrs  addrs
	server server
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; read after done
	gone   string        // how it ended, "" while it runs
}

func newDemoRun(e *env, opt demoOptions) *demo {
	d := &demo{env: e, opt: opt, log: slog.New(slog.DiscardHandler), right: map[string]int{}}
	for _, q := range demoQuestions() {
		d.right[q.Text] = q.Answer
	}
	if opt.logLevel != "off" {
		d.log = newLogger(e.stderr, "text", logLevel(opt.logLevel))
	}
	d.all = append(d.all, e.games...)
	for _, g := range games.All() { // the show needs trivia and bank
		have := false
		for _, mine := range e.games {
			have = have || mine.Name == g.Name
		}
		if !have {
			d.all = append(d.all, g)
		}
	}
	return d
}

func (d *demo) say(format string, args ...any) {
	d.outMu.Lock()
	defer d.outMu.Unlock()
	fmt.Fprintf(d.env.stdout, format+"\n", args...)
}

// readyTimeout bounds how long a cluster may take to form.
const readyTimeout = 15 * time.Second

func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer d.stop()
	defer cancel()
	start := time.Now()
	for range d.opt.nodes {
		if _, err := d.add(d.opt.nodes); err != nil {
			return err
		}
	}
	if took, ok := d.await(ctx, readyTimeout, func() bool { return d.whole() }); !ok {
		return finding(fmt.Errorf("the nodes did not become one cluster within %v%s", took, d.whyNot()))
	}
	d.say("%s ready in %s", plural(int64(d.opt.nodes), "node"), seconds(time.Since(start)))
	d.status()
	d.say("\nplay along: gamed play --addr %s --as you --join %s", d.nodes[0].addrs.Players, demoTopic)
	d.say("commands: kill 2 · split 1|23 · heal · add · drain 2 · status · quit · help\n")

	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()
	for i := range d.opt.bots {
		b := d.newBot(i)
		d.bots = append(d.bots, b)
		playing.Go(func() { b.run(ctx) })
	}
	last := make(chan struct{})  // closed: no further show
	shows := make(chan struct{}) // closed: the last show is over
	playing.Go(func() {
		defer close(shows)
		d.shows(ctx, last)
	})
	lines := readLines(ctx, d.env.stdin)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-shows:
			return nil
		case line, ok := <-lines:
			if !ok {
				lines = nil
				d.say("end of input: the last show goes on to its end")
				close(last)
				continue
			}
			if quit := d.prompt(ctx, line); quit {
				return nil
			}
		}
	}
}

// add starts a node; expect is for a cluster that forms.
func (d *demo) add(expect int) (*demoNode, error) {
	n := len(d.nodes) + 1
	cfg := config.Default()
	cfg.Node, cfg.Cluster, cfg.Expect, cfg.DrainTimeout = fmt.Sprintf("demo-%d", n), "demo", expect, 20*time.Second
	cfg.Listen, cfg.Mesh, cfg.Gossip, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	for _, other := range d.running() {
		cfg.Join = append(cfg.Join, other.addrs.Gossip)
	}
	s, err := d.env.start(nodeOptions{Config: cfg, Games: d.all, Log: d.log.With("node", cfg.Node)})
	if err != nil {
		return nil, fmt.Errorf("start node %d: %w", n, err)
	}
	node := &demoNode{n: n, addrs: s.Addrs(), server: s, done: make(chan struct{})}
	var ctx context.Context
	ctx, node.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(node.done)
		node.err = s.Run(ctx)
	}()
	d.mu.Lock()
	d.nodes = append(d.nodes, node)
	d.mu.Unlock()
	return node, nil
}

// stop ends what still runs, all at once and without ceremony: there is nobody to move players to.
func (d *demo) stop() {
	for _, n := range d.nodes {
		if n.gone == "" {
			n.server.Kill()
		}
		n.cancel()
	}
	for _, n := range d.nodes {
		select {
		case <-n.done:
		case <-time.After(5 * time.Second):
			d.log.Error("a node does not end", "node", n.addrs.Node)
		}
	}
}

// running are the nodes that have not ended.
func (d *demo) running() []*demoNode {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*demoNode
	for _, n := range d.nodes {
		if n.gone == "" {
			out = append(out, n)
		}
	}
	return out
}

// addresses are the players' addresses of the running nodes, beginning with another one for each i.
func (d *demo) addresses(i int) []string {
	nodes := d.running()
	out := make([]string, len(nodes))
	for j := range nodes {
		out[j] = nodes[(i+j)%len(nodes)].addrs.Players
	}
	return out
}

// shows plays one after another until last is closed.
func (d *demo) shows(ctx context.Context, last <-chan struct{}) {
	for i := 0; ; i++ {
		show := d.pick()
		d.say("— show %d: %s, prize %d", i+1, plural(int64(len(show.Questions)), "question"), show.Prize)
		h := &host{addrs: d.addresses(i), topic: demoTopic, show: show, wait: min(d.opt.bots, 1), waitLimit: 10 * time.Second,
			note: func(string, ...any) {}, tell: func(event string, p game.Payload) { d.say("%s", describe(demoTopic, event, p)) }}
		h.opt.Name, h.opt.Dialer = "host", d.dial
		if err := h.run(ctx); err != nil && ctx.Err() == nil {
			d.say("the show broke off: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-last:
			return
		case <-time.After(2 * time.Second):
		}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
